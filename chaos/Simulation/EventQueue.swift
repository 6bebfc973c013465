// The order of a simulated world: events by time, and by age where times are equal. A binary heap, so that nothing
// about the order depends on hashing.

import KVCore
import Raft

/// What may happen in the world.
enum Event {
    case deliver(Delivery)
    /// The end of a rest; only the last one that was begun counts.
    case tick(host: Int, life: Int, rest: UInt64)
    case logDone(host: Int, life: Int)
    case stateDone(host: Int, life: Int)
    case maintain(host: Int, life: Int)
    /// A command that took long is executed.
    case executed(host: Int, life: Int, Executed)
    /// Others had their turn: what was put off goes on.
    case goOn(host: Int, life: Int)
    case restart(host: Int)
    /// Who begins with nothing asks the others; one is asked; it has answered.
    case inquire(host: Int, life: Int)
    case asked(Inquiry)
    case told(Inquiry, tookPart: Bool)
    /// Somebody looks after a member that was refused.
    case operate(host: Int)
    case hint(host: Int, lost: PeerID)
    case fault
    /// A fresh leader is cut off or crashes.
    case ambush(host: Int)
    /// A follower that holds what only it and the leader hold forgets it, and the leader is gone.
    case betrayal(follower: Int, leader: Int)
    /// A leader that relies on promises is cut off, and those that gave them are tried.
    case siege(leader: Int, rival: Int)
    case bringBack(host: Int)
    case heal(Int)
    case flap(host: Int, left: UInt64)
    /// A watcher moves to another host, or finds one again.
    case rewatch(Int, isMove: Bool)
    /// A client begins its next operation.
    case act(client: Int)
    case request(Request)
    case reply(Reply)
    case giveUp(client: Int, serial: UInt64)
}

/// The question whether a host ever took part.
struct Inquiry {
    var host: Int
    /// Of its process.
    var life: Int
    var other: Int
}

/// A message on its way, as bytes.
struct Delivery {
    var from: PeerID
    var to: PeerID
    var bytes: [UInt8]
}

struct EventQueue {
    /// Small, since the heap moves it about; the event stays in its place.
    private struct Slot {
        var time: UInt64
        var order: UInt64
        var place: Int
    }
    private var heap: [Slot] = []
    private var events: [Event?] = []
    private var free: [Int] = []
    private var order: UInt64 = 0

    mutating func add(_ event: Event, at time: UInt64) {
        order += 1
        let place = free.popLast() ?? events.count
        if place == events.count { events.append(event) } else { events[place] = event }
        heap.append(Slot(time: time, order: order, place: place))
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isBefore(child, parent) else { break }
            heap.swapAt(child, parent)
            child = parent
        }
    }

    mutating func next() -> (time: UInt64, event: Event)? {
        guard !heap.isEmpty else { return nil }
        heap.swapAt(0, heap.count - 1)
        let slot = heap.removeLast()
        var parent = 0
        while true {
            var least = parent
            let child = 2 * parent + 1
            if child < heap.count, isBefore(child, least) { least = child }
            if child + 1 < heap.count, isBefore(child + 1, least) { least = child + 1 }
            if least == parent { break }
            heap.swapAt(least, parent)
            parent = least
        }
        guard let event = events[slot.place] else { preconditionFailure("an event without a place") }
        events[slot.place] = nil
        free.append(slot.place)
        return (slot.time, event)
    }

    private func isBefore(_ left: Int, _ right: Int) -> Bool {
        heap[left].time == heap[right].time ? heap[left].order < heap[right].order : heap[left].time < heap[right].time
    }
}
