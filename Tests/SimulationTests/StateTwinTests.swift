// The shipped state database on the twin of its files, struck at every write and sync.

import Glibc
import KVCore
import KVDisk
import Raft
import Simulation
import Testing

/// `STATE_SEEDS=n` runs more of them.
private let seedsOfPart = UInt64(getenv("STATE_SEEDS").flatMap { Int(String(cString: $0)) } ?? 1000) / 40

@Test(arguments: 0..<40 as Range<UInt64>)
func `a start finds what was written, not older than the last checkpoint, and never a mix`(part: UInt64) throws {
    for seed in part * seedsOfPart + 1...(part + 1) * seedsOfPart {
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

@Test func `an altered state database is told apart, and takes another state or is made anew from the log`() throws {
    var found: [StateLab.Finding: Int] = [:]
    for seed in 1...1000 as ClosedRange<UInt64> {
        var lab = try StateLab(seed: seed)
        for _ in 0..<1 + lab.below(12) {
            lab.applySome()
            _ = lab.write(isStruck: false)
        }
        for _ in 0..<1 + lab.below(3) { _ = lab.checkpoint(isStruck: false) }
        if let finding = lab.rot() { found[finding, default: 0] += 1 }
        #expect(lab.complaint == nil, "\(lab.complaint ?? "")")
    }
    #expect(StateLab.Finding.allCases.allSatisfy { found[$0, default: 0] > 10 }, "too quiet: \(found)")
}

@Test func `a full disk is waited for, and takes nothing`() throws {
    var putOff = 0
    for seed in 1...100 as ClosedRange<UInt64> {
        var lab = try StateLab(seed: seed)
        lab.applySome()
        _ = lab.write(isStruck: false)
        lab.state.files.isFull = true
        if lab.checkpointOnFullDisk() { putOff += 1 }
        let isDone = lab.below(2) == 0 ? lab.install(isStruck: false, waits: true) : lab.checkpoint(isStruck: false)
        #expect(isDone)
        lab.restart(losesPower: true, isWhole: false)
        #expect(lab.complaint == nil, "\(lab.complaint ?? "")")
    }
    #expect(putOff > 5, "too quiet")
}

private func tick(_ index: UInt64) -> Entry {
    let id = ProposalID(client: ClientID(rawValue: 5), serial: index, settledBelow: index)
    let proposal = EntryFormat.encode(ClientProposal(id: id, command: .tick))
    return Entry(
        term: Term(1), index: LogIndex(index),
        data: EntryFormat.entry(logTime: Int64(index) * 300, proposal: proposal))
}

@Test func `after a failed sync the process that saw it has no database any more`() throws {
    for seed in 1...20 as ClosedRange<UInt64> {
        let twin = StateTwin(seed: seed), log = LogTwin(seed: seed)
        let disk = try ReplicaDisk(try twin.open(), initial: Configuration(voters: [PeerID(1)])) { log }
        var machine = disk.machine, index: UInt64 = 0, hasFailed = false
        while !hasFailed, index < 50 {
            index += 1
            _ = machine.apply(tick(index))
            try disk.state.write(machine.takeChanges())
            twin.files.trouble = .sync
            do throws(DiskError) { _ = try disk.state.checkpoint() } catch { hasFailed = true }
            twin.files.trouble = nil
        }
        #expect(hasFailed)
        _ = machine.apply(tick(index + 1))
        let changes = machine.takeChanges(), state = disk.state
        #expect(throws: DiskError.self) { _ = try state.checkpoint() }
        #expect(throws: DiskError.self) { try state.write(changes) }
        #expect(throws: DiskError.self) { try state.distrust() }
        twin.end()
    }
}
