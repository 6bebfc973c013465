// The store as others than the replica's loop see it.
import KVCore

/// What readers on other threads see.
struct Published: Sendable {
    private(set) var snapshot: StoreSnapshot
    /// The present one was.
    private(set) var wasRead = false
    private static let none = StoreSnapshot()

    init(_ snapshot: StoreSnapshot) { self.snapshot = snapshot }

    mutating func read() -> StoreSnapshot {
        wasRead = true
        return snapshot
    }

    mutating func publish(_ snapshot: StoreSnapshot) {
        self.snapshot = snapshot
        wasRead = false
    }

    /// Nobody else holds it afterwards: a change then copies nothing.
    mutating func letGo() { snapshot = Self.none }
}
