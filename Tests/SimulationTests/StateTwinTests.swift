// The shipped state database on the twin of its files, struck at every write and sync.

import Simulation
import Testing

@Test(arguments: 0..<40 as Range<UInt64>)
func `a start finds what was written, not older than the last checkpoint, and never a mix`(part: UInt64) throws {
    for seed in part * 25 + 1...part * 25 + 25 {
        var lab = try StateLab(seed: seed)
        for _ in 0..<30 where lab.complaint == nil {
            let isStruck = lab.below(5) == 0
            var isFailing = false
            if lab.below(15) == 0 {
                lab.state.files.trouble = lab.below(2) == 0 ? .write : .sync
                isFailing = true
            }
            if lab.below(12) == 0 { lab.state.files.isFull = true }
            let isAlive =
                switch lab.below(12) {
                case 0..<7:
                    { () -> Bool in
                        lab.applySome()
                        return lab.write(isStruck: isStruck)
                    }()
                case 7..<11: lab.checkpoint(isStruck: isStruck)
                default: lab.install(isStruck: isStruck)
                }
            lab.state.files.trouble = nil
            lab.state.files.isFull = false
            guard !isAlive || lab.below(6) == 0 else { continue }
            lab.restart(losesPower: lab.below(2) == 0, isWhole: !isFailing)
        }
        #expect(lab.complaint == nil, "\(lab.complaint ?? "")")
    }
}
