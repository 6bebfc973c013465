// One term of leadership: the client that carries its fence, and the carrying out of changes through it. A session
// outlives its term harmlessly, since the store refuses its writes.

import API

/// What became of a list of changes.
package struct Performed: Sendable {
    package var written: [Awaited] = []
    package var failures: [Failure] = []
    /// Names of pods that were created.
    package var created: [String] = []
    /// Ask again after so many milliseconds.
    package var again: Int64?

    package struct Failure: Sendable {
        package var change: Change
        package var error: StatusError
    }

    mutating func merge(_ other: Performed) {
        written += other.written
        failures += other.failures
        created += other.created
        if let other = other.again { again = min(again ?? other, other) }
    }
}

/// The right to act.
package struct Session: Sendable {
    package let client: any ObjectClient
    let recorder: EventRecorder
    let component: String
    let now: @Sendable () -> Int64

    func named(_ component: String) -> Session {
        Session(client: client, recorder: recorder, component: component, now: now)
    }

    /// Carries out changes in order. A failed one ends the list, except that what is already gone is as good as
    /// deleted.
    package func perform(_ changes: [Change]) async -> Performed {
        var all = Performed()
        var versions: [String: JSON] = [:]
        for change in changes {
            let one = await perform(change, &versions)
            all.merge(one)
            if !one.failures.isEmpty { break }
        }
        return all
    }

    /// Carries out lists that have nothing to do with each other: a failure in one does not keep the others back.
    package func perform(apart groups: [[Change]]) async -> Performed {
        var all = Performed()
        for group in groups { all.merge(await perform(group)) }
        return all
    }

    private func perform(_ change: Change, _ versions: inout [String: JSON]) async -> Performed {
        switch change {
        case .note(let note):
            recorder.record(
                note.about, warning: note.isWarning, reason: note.reason, message: note.message, component: component,
                through: client)
            return Performed()
        case .again(let milliseconds): return Performed(again: milliseconds)
        case .many(let list): return await slowStart(list)
        default: break
        }
        do throws(StatusError) {
            let (written, name) = try await write(change, &versions)
            if case .create(.pods, _) = change { return Performed(written: written, created: [name]) }
            return Performed(written: written)
        } catch {
            if error.isNotFound && change.isMootWithoutObject { return Performed() }
            return Performed(failures: [.init(change: change, error: error)])
        }
    }

    /// Several writes of one object in a list follow each other: the later ones take over the version of the earlier.
    private func write(
        _ change: Change, _ versions: inout [String: JSON]
    ) async throws(StatusError) -> (
        [Awaited], name: String
    ) {
        switch change {
        case .create(let resource, let object):
            let made = try await client.create(resource, namespace: object.scope, object)
            return ([.revision(resource, UInt64(made.resourceVersion) ?? 0)], made.name)
        case .update(let resource, var object, let subresource):
            let key = "\(resource) \(object.key)"
            if let version = versions[key] { object["metadata", "resourceVersion"] = version }
            let made = try await client.update(
                resource, namespace: object.scope, name: object.name, subresource: subresource, object)
            versions[key] = made["metadata", "resourceVersion"]
            return ([.revision(resource, UInt64(made.resourceVersion) ?? 0)], made.name)
        case .patch(let resource, let target, let subresource, let type, let patch):
            let namespace = target.namespace.isEmpty ? nil : target.namespace
            let made = try await client.patch(
                resource, namespace: namespace, name: target.name, subresource: subresource, type: type, patch)
            return ([.revision(resource, UInt64(made.resourceVersion) ?? 0)], made.name)
        case .delete(let resource, let target, let options):
            let namespace = target.namespace.isEmpty ? nil : target.namespace
            try await client.delete(resource, namespace: namespace, name: target.name, options)
            return ([.gone(resource, target)], target.name)
        case .note, .again, .many: return ([], "")
        }
    }

    /// One, then twice as many each time all went well; the first failure stops the growth, so that a quota is not
    /// hammered.
    private func slowStart(_ list: [Change]) async -> Performed {
        var all = Performed()
        var rest = list[...]
        var size = 1
        while !rest.isEmpty && all.failures.isEmpty {
            let batch = rest.prefix(size)
            rest = rest.dropFirst(size)
            let done = await withTaskGroup(of: Performed.self) { group in
                for change in batch {
                    group.addTask { await self.perform([change]) }
                }
                var done = Performed()
                for await one in group { done.merge(one) }
                return done
            }
            all.merge(done)
            size = min(size * 2, 64)
        }
        return all
    }
}

extension Change {
    /// Nothing is lost when the object that it concerns is gone.
    var isMootWithoutObject: Bool {
        switch self {
        case .delete, .patch: true
        default: false
        }
    }
}

extension JSON {
    /// The namespace for a client's call.
    var scope: String? { namespace.isEmpty ? nil : namespace }
}
