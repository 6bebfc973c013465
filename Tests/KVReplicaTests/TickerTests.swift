// The clock of a replica on an event loop whose time the test moves.
import KVReplica
import NIOCore
import NIOEmbedded
import Testing

struct TickerTests {
    private final class Count {
        var ticks = 0
    }

    @Test func `a restart in the turn in which a tick is due begets no second chain`() {
        let loop = EmbeddedEventLoop()
        let count = Count()
        let ticker = Ticker(loop, wait: { .milliseconds(25) }, tick: { count.ticks += 1 })
        // Due at the same time as the first tick and chosen with it, before it: as a message that is read in that turn.
        loop.scheduleTask(in: .milliseconds(25)) { ticker.restart() }
        ticker.restart()
        loop.advanceTime(by: .milliseconds(25))
        #expect(count.ticks == 0)
        loop.advanceTime(by: .milliseconds(250))
        #expect(count.ticks == 10)
        ticker.stop()
    }

    @Test func `a restart within a tick counts from there`() {
        let loop = EmbeddedEventLoop()
        let count = Count()
        var ticker: Ticker?
        ticker = Ticker(loop, wait: { .milliseconds(10) }) {
            count.ticks += 1
            ticker?.restart()
        }
        ticker?.restart()
        loop.advanceTime(by: .milliseconds(100))
        #expect(count.ticks == 10)
        ticker?.stop()
        loop.advanceTime(by: .milliseconds(100))
        #expect(count.ticks == 10)
        ticker = nil
    }
}
