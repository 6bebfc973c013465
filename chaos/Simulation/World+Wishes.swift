// What clients wish: transactions of one operation or several, with guards, else-branches and nested ones, deletions,
// reads of one key or some, now, at an earlier revision, or of whatever the host has.

import KVCore
import Raft

extension World {
    mutating func pickKind(_ client: Int) -> Request.Kind {
        if let errand = clients[client].errands.first { return kind(of: errand, client) }
        if clients[client].lease != nil { return useLease(client) }
        if let lease = clients[client].held, !isHealed, chance(150) { return chance(150) ? revoke(lease) : keep(lease) }
        guard chance(600) else { return .read(pickReading()) }
        if chance(60), !isHealed { return grant(number()) }
        if chance(8), !isHealed { return .compact(pickPast()) }
        let fence: Term? = chance(80) ? hosts.compactMap { $0.life?.raft.term }.randomElement(using: &random) : nil
        guard fence == nil else {
            return .deal(Deal(value: number(), success: [.put(pickKey(), lease: 0)]), fence: fence)
        }
        return .deal(pickDeal(), fence: nil)
    }

    private mutating func kind(of errand: Errand, _ client: Int) -> Request.Kind {
        switch errand {
        case .write: return .deal(Deal(value: number(), success: [.put(pickKey(), lease: 0)]), fence: nil)
        case .follow: return .read(Reading(keys: 0..<plan.keys))
        case .lease:
            if clients[client].lease != nil { return useLease(client) }
            guard let lease = clients[client].held else { return grant(number()) }
            return clients[client].isKept ? revoke(lease) : keep(lease)
        }
    }

    private mutating func number() -> UInt64 {
        nextValue += 1
        return nextValue
    }

    private mutating func pickKey() -> Int { Int(below(UInt64(plan.keys))) }

    private mutating func pickKeys() -> Range<Int> {
        let first = pickKey()
        return first..<(first + 1 + Int(below(UInt64(plan.keys - first))))
    }

    // MARK: Transactions

    private mutating func pickDeal() -> Deal {
        switch below(100) {
        case 0..<28: return pickSwap()
        case 28..<46: return pickMany()
        case 46..<54: return pickNested()
        case 54..<62:
            return Deal(
                value: number(), success: [.delete(chance(500) ? pickKeys() : only(pickKey()))],
                asksPrevious: chance(500))
        default: return Deal(value: number(), success: [.put(pickKey(), lease: 0)], asksPrevious: chance(300))
        }
    }

    private func only(_ key: Int) -> Range<Int> { key..<(key + 1) }

    private mutating func pickGuard(_ key: Int) -> Deal.Guard {
        // Mostly what it was last, as far as anybody was told.
        Deal.Guard(key: key, expected: chance(900) ? checker.oracle.lastWrite(of: Request.key(key)) : .zero)
    }

    /// One key while it was last written when the client thinks so; else perhaps something else.
    private mutating func pickSwap() -> Deal {
        let key = pickKey()
        var deal = Deal(value: number(), guards: [pickGuard(key)], success: [.put(key, lease: 0)])
        deal.asksPrevious = chance(300)
        switch below(4) {
        case 0: deal.failure = [.show(only(key))]
        case 1: deal.failure = [.put(pickKey(), lease: 0), .show(pickKeys())]
        default: break
        }
        return deal
    }

    /// Several keys get one value, some go, and some are looked at between.
    private mutating func pickMany() -> Deal {
        let middle = pickKey()
        var deal = Deal(value: number(), success: [], asksPrevious: chance(500))
        if chance(300) { deal.guards = [pickGuard(pickKey())] }
        // What is deleted is not written, too.
        if chance(400), middle > 0 { deal.success.append(.delete(Int(below(UInt64(middle)))..<middle)) }
        var keys: [Int] = []
        for _ in 0..<(2 + below(plan.keys > 10 ? 10 : 2)) {
            let key = middle + Int(below(UInt64(plan.keys - middle)))
            if !keys.contains(key) { keys.append(key) }
        }
        if chance(300) { deal.success.append(.show(pickKeys())) }
        deal.success += keys.map { .put($0, lease: 0) }
        deal.success.append(.show(pickKeys()))
        return deal
    }

    private mutating func pickNested() -> Deal {
        let key = pickKey(), other = (key + 1) % plan.keys, value = number()
        var inner = Deal(value: value, guards: [pickGuard(key)], success: [.put(other, lease: 0)])
        inner.failure = chance(500) ? [.put(other, lease: 0), .show(only(key))] : [.delete(only(other))]
        inner.asksPrevious = chance(500)
        var deal = Deal(value: value, success: [.put(key, lease: 0), .nested(inner), .show(pickKeys())])
        if chance(300) { deal.guards = [pickGuard(other)] }
        return deal
    }

    // MARK: Reads

    private mutating func pickReading() -> Reading {
        var reading = Reading(keys: chance(600) ? only(pickKey()) : pickKeys())
        if chance(200) { reading.limit = Int(between(1, 4)) }
        switch below(100) {
        case 0..<20: reading.isSerializable = true
        case 20..<32 where checker.oracle.top > Revision(1): reading.past = pickPast()
        default: break
        }
        return reading
    }

    /// A revision that somebody has seen, mostly a late one.
    private mutating func pickPast() -> Revision {
        let top = UInt64(clamping: checker.oracle.top.rawValue), reach = chance(800) ? min(30, top) : top
        return Revision(Int64(clamping: max(1, top - below(max(1, reach)))))
    }

    // MARK: Leases

    private mutating func useLease(_ client: Int) -> Request.Kind {
        let lease = clients[client].lease ?? 0, first = Request.lentKeys + 4 * client
        clients[client].lease = nil
        let puts = (0..<between(1, 3)).map { Deal.Deed.put(first + Int($0), lease: lease) }
        return .lend(Deal(value: number(), success: puts), lease: lease)
    }

    /// Its time cannot run out before it was asked for.
    mutating func grant(_ lease: UInt64) -> Request.Kind {
        let ttl = isHealed ? Simulation.errandMilliseconds : between(100, 3_000)
        checker.oracle.leases.ask(lease, ttlMilliseconds: ttl, now: now)
        return .grant(lease: lease, ttlMilliseconds: Int64(ttl))
    }

    private mutating func keep(_ lease: UInt64) -> Request.Kind {
        checker.oracle.leases.beginKeep(lease)
        return .keep(lease: lease)
    }

    private mutating func revoke(_ lease: UInt64) -> Request.Kind {
        checker.oracle.leases.beginRevoke(lease)
        let holder = clients.firstIndex { $0.held == lease } ?? 0
        (clients[holder].held, clients[holder].isKept) = (nil, false)
        return .revoke(lease: lease)
    }
}
