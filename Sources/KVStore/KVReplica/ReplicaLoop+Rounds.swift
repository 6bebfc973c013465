// How much the loop does before it looks at the others again. What would hold it, many watches that are told of the past
// and entries that gathered behind a long command, is done in rounds: what was asked first is done first, and between two
// rounds come messages of other members, the clock and the disk.
import KVCore
import NIOCore

extension ReplicaLoop {
    /// So many are delivered before the next watch is told of the past.
    private static let noticesMax = 10_000

    /// What waits from the last round goes first.
    func drain() {
        guard !isPutOff else { return }
        takeWaiting()
        if waiting.isEmpty {
            waiting = mailbox.take()[...]
            takeWaiting()
        }
        pump()
        if !waiting.isEmpty { putOff() }
    }

    /// All of it, or as many watches as a round has time for.
    private func takeWaiting() {
        let inputs = waiting
        waiting = []
        var began: Int64?
        for index in inputs.indices {
            take(inputs[index])
            guard case .watch = inputs[index] else { continue }
            let now = Clock.milliseconds(), start = began ?? now
            began = start
            let isOver = now - start >= configuration.roundMilliseconds || core.noticesGathered >= Self.noticesMax
            guard !isOver || isEnded else {
                waiting = inputs[(index + 1)...]
                return
            }
        }
    }

    /// More is to be applied than this round has time for.
    func isOver(since began: Int64) -> Bool {
        core.hasMoreToApply && Clock.milliseconds() - began >= configuration.roundMilliseconds
    }

    /// It goes on when others had their turn, and nothing goes on before. At a time to come, as the event loop looks at its
    /// connections only when nothing is left to do at once; and then behind what came in meanwhile. To be called at the end
    /// of a round, so that this time is to come.
    func putOff() {
        guard !isPutOff, !isEnded else { return }
        isPutOff = true
        eventLoop.scheduleTask(in: .milliseconds(1)) { [self] in
            eventLoop.execute { [self] in
                isPutOff = false
                drain()
            }
        }
    }
}
