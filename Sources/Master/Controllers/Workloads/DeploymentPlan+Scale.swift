// How many replicas each ReplicaSet of a deployment has: rolling update, recreation, and proportional scaling in
// between.

import API

extension DeploymentPlan {
    mutating func scaled(_ name: String, from before: Int64, to after: Int64) {
        let way = after > before ? "up" : "down"
        notes.append(
            .note(deployment, "ScalingReplicaSet", "Scaled \(way) replica set \(name) from \(before) to \(after)"))
    }

    /// Sets a set's replicas and the counts it carries; true when something was to be changed.
    @discardableResult
    private mutating func scale(_ draft: inout ReplicaSetDraft, to count: Int64) -> Bool {
        let before = draft.object
        let replicas = draft.replicas
        annotateCounts(&draft)
        draft.object["spec", "replicas"] = .int(count)
        if replicas != count { scaled(draft.name, from: replicas, to: count) }
        return before != draft.object && replicas != count
    }

    private mutating func scaleNew(to count: Int64) -> Bool {
        guard var draft = new else { return false }
        let changed = scale(&draft, to: count)
        new = draft
        return changed
    }

    @discardableResult
    private mutating func scaleOld(_ i: Int, to count: Int64) -> Bool {
        var draft = old[i]
        let changed = scale(&draft, to: count)
        old[i] = draft
        return changed
    }

    /// What the new set may have now.
    func newSetReplicas() -> Int64 {
        guard isRolling else { return replicas }
        let mine = new?.replicas ?? 0
        let total = all.reduce(Int64(0)) { $0 + $1.replicas }
        let room = replicas + margins.surge - total
        return room <= 0 ? mine : mine + min(room, max(0, replicas - mine))
    }

    // Rolling update.

    mutating func roll() {
        syncRevision(mayCreate: true)
        if new?.original == nil { return }
        let mine = new?.replicas ?? 0
        if mine != replicas && scaleNew(to: mine > replicas ? replicas : newSetReplicas()) { return }
        if rollDown() { return }
        if isComplete(statusCounts()) { cleanup() }
    }

    private mutating func rollDown() -> Bool {
        guard old.contains(where: { $0.replicas > 0 }) else { return false }
        let total = all.reduce(Int64(0)) { $0 + $1.replicas }
        let least = replicas - margins.unavailable
        let newUnavailable = (new?.replicas ?? 0) - (new?.available ?? 0)
        let spare = total - least - newUnavailable
        guard spare > 0 else { return false }
        let cleaned = dropUnhealthy(spare)
        return dropAvailable(least) || cleaned > 0
    }

    /// Pods of old sets that do not work anyway go first.
    private mutating func dropUnhealthy(_ spare: Int64) -> Int64 {
        var dropped: Int64 = 0
        for i in old.indices where dropped < spare && old[i].replicas > old[i].available {
            let count = min(spare - dropped, old[i].replicas - old[i].available)
            scaleOld(i, to: old[i].replicas - count)
            dropped += count
        }
        return dropped
    }

    private mutating func dropAvailable(_ least: Int64) -> Bool {
        var spare = all.reduce(Int64(0)) { $0 + min($1.available, $1.replicas) } - least
        var changed = false
        for i in old.indices where spare > 0 && old[i].replicas > 0 {
            let count = min(old[i].replicas, spare)
            if scaleOld(i, to: old[i].replicas - count) { changed = true }
            spare -= count
        }
        return changed
    }

    // Recreation.

    mutating func recreate() {
        syncRevision(mayCreate: false)
        var changed = false
        for i in old.indices where old[i].replicas > 0 && scaleOld(i, to: 0) { changed = true }
        if changed || oldPodsRun { return }
        syncRevision(mayCreate: true)
        if new?.original != nil && (new?.replicas ?? 0) != replicas && scaleNew(to: replicas) { return }
        if isComplete(statusCounts()) { cleanup() }
    }

    private var oldPodsRun: Bool {
        old.contains { draft in (podsBySet[draft.object.uid] ?? []).contains { !$0.isFinished } }
    }

    // Scaling outside of a rollout, or in the middle of one.

    mutating func scaleAll() {
        if let name = activeOrLatest() {
            if name == new?.name { _ = scaleNew(to: replicas) }
            if let i = old.firstIndex(where: { $0.name == name }) { scaleOld(i, to: replicas) }
            return
        }
        if let new, isSaturated(new) {
            for i in old.indices where old[i].replicas > 0 { scaleOld(i, to: 0) }
            return
        }
        if isRolling { scaleInProportion() }
    }

    /// The only set with replicas, or with none the newest; nil when several are active.
    private func activeOrLatest() -> String? {
        let active = all.filter { $0.replicas > 0 }
        if active.count == 1 { return active[0].name }
        guard active.isEmpty else { return nil }
        return new?.name ?? old.max { ($0.revision, $0.name) < ($1.revision, $1.name) }?.name
    }

    private func isSaturated(_ draft: ReplicaSetDraft) -> Bool {
        Int64(draft.object.annotations[Revision.desired] ?? "") == replicas && draft.replicas == replicas
            && draft.available == replicas
    }

    private mutating func scaleInProportion() {
        let active = all.filter { $0.replicas > 0 }
        let total = active.reduce(Int64(0)) { $0 + $1.replicas }
        let toAdd = (replicas > 0 ? replicas + margins.surge : 0) - total
        let ordered = active.sorted { left, right in
            if left.replicas != right.replicas { return left.replicas > right.replicas }
            return toAdd > 0 ? left.age > right.age : left.age < right.age
        }
        var added: Int64 = 0
        var targets: [(name: String, count: Int64)] = ordered.map { draft in
            let part = toAdd == 0 ? 0 : share(of: draft, toAdd, added)
            added += part
            return (draft.name, draft.replicas + part)
        }
        if !targets.isEmpty { targets[0].count = max(0, targets[0].count + toAdd - added) }
        for (name, count) in targets {
            if name == new?.name { _ = scaleNew(to: count) }
            if let i = old.firstIndex(where: { $0.name == name }) { scaleOld(i, to: count) }
        }
    }

    /// A set's part of what is added or taken away, by its size, within what is left.
    private func share(of draft: ReplicaSetDraft, _ toAdd: Int64, _ added: Int64) -> Int64 {
        let allowed = toAdd - added
        guard draft.replicas != 0, allowed != 0 else { return 0 }
        let fraction: Int64
        if replicas == 0 {
            fraction = -draft.replicas
        } else {
            let most = Int64(draft.object.annotations[Revision.most] ?? "") ?? deployment.number("status", "replicas")
            let size = Double(draft.replicas) * Double(replicas + margins.surge) / Double(max(1, most))
            fraction = (size < 1e15 ? Int64(size.rounded()) : replicas) - draft.replicas
        }
        return toAdd > 0 ? min(fraction, allowed) : max(fraction, allowed)
    }
}
