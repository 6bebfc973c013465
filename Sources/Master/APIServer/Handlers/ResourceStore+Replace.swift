// PUT and PATCH of an object or of one of its subresources, over trees: what HTTP handlers and the in-process client
// share.
import API
import KVCore

extension ResourceStore {
    /// Replaces an object, its status, its scale, or another subresource that holds the whole object.
    func replace(_ call: WriteCall, _ given: JSON, _ decoder: BodyDecoder) async throws(StatusError) -> WriteOutcome {
        if call.subresource == "scale" {
            let scale = try decoder.check(given, as: Scale.kind)
            return try await updateScale(call) { (_) throws(StatusError) in scale.object }
        }
        let decoded = try decoder.check(given, as: call.resource.kind)
        try Self.checkName(decoded.object, call)
        var noted = call
        noted.warnings += decoded.warnings
        return try await update(noted) { (_) throws(StatusError) in decoded.object }
    }

    /// Applies a patch to the stored object, again for each attempt.
    func patch(
        _ given: WriteCall, _ type: PatchType, _ patch: JSON, _ decoder: BodyDecoder
    ) async throws(StatusError)
        -> WriteOutcome
    {
        if type == .apply { throw Status.unsupportedPatchType() }
        var call = given
        if call.subresource == "scale" {
            return try await updateScale(call) { (current) throws(StatusError) in
                var warnings: [String] = []
                let patched = try Self.apply(type, patch, to: current, Scale.kind, decoder, &warnings)
                return try Self.decodePatched(patched, Scale.kind, decoder).object
            }
        }
        let kind = call.resource.kind
        call.warnings += try patchWarnings(call, type, patch, decoder)
        let target = call
        return try await update(call) { (stored) throws(StatusError) in
            guard let stored else { throw Status.notFound(target.gvr, target.name) }
            var warnings: [String] = []
            let patched = try Self.apply(type, patch, to: stored, kind, decoder, &warnings)
            let object = try Self.decodePatched(patched, kind, decoder).object
            try Self.checkName(object, target)
            return object
        }
    }

    /// Unknown fields that a patch brings are warned of once; the transformation itself may run several times.
    private func patchWarnings(
        _ call: WriteCall, _ type: PatchType, _ patch: JSON, _ decoder: BodyDecoder
    )
        throws(StatusError) -> [String]
    {
        guard decoder.validation == .warn,
            let stored = reader().get(call.gvr, namespace: call.namespace, name: call.name)
        else { return [] }
        var warnings: [String] = []
        let patched = try Self.apply(type, patch, to: stored, call.resource.kind, decoder, &warnings)
        return warnings + (try Self.decodePatched(patched, call.resource.kind, decoder).warnings)
    }

    private static func apply(
        _ type: PatchType, _ patch: JSON, to stored: JSON, _ kind: GroupVersionKind, _ decoder: BodyDecoder,
        _ warnings: inout [String]
    ) throws(StatusError) -> JSON {
        switch type {
        case .json: try Patch.json(patch, on: stored, warnings: &warnings)
        case .merge: try Patch.merge(patch, into: stored)
        case .strategic: try decoder.schema.strategicMerge(patch, into: stored, as: kind)
        case .apply: throw Status.unsupportedPatchType()
        }
    }

    /// A patched object that does not decode is 422, not 400, since the request's own body was well-formed.
    static func decodePatched(
        _ patched: JSON, _ kind: GroupVersionKind, _ decoder: BodyDecoder
    )
        throws(StatusError) -> BodyDecoder.Decoded
    {
        do { return try decoder.check(patched, as: kind) } catch {
            guard error.code == 400 else { throw error }
            let marker = "cannot be handled as a \(kind.kind): "
            let message = error.message.range(after: marker) ?? error.message
            throw Status.patchInvalid(sortedMembers(patched), message)
        }
    }

    /// As upstream's patch library writes it: members in order of their names, but for the metadata.
    private static func sortedMembers(_ tree: JSON) -> JSON {
        guard case .object(let object) = tree else { return tree }
        let members = object.members.sorted { $0.key < $1.key }.map { member in
            JSONObject.Member(
                key: member.key, value: member.key == "metadata" ? member.value : sortedMembers(member.value))
        }
        return .object(JSONObject(uniqueMembers: members))
    }

    static func checkName(_ object: JSON, _ call: WriteCall) throws(StatusError) {
        if !object.name.isEmpty && object.name != call.name {
            throw Status.badRequest(
                "the name of the object (\(object.name)) does not match the name on the URL (\(call.name))")
        }
        try checkNamespace(object, call.namespace)
    }

    static func checkNamespace(_ object: JSON, _ namespace: String?) throws(StatusError) {
        if !object.namespace.isEmpty && object.namespace != (namespace ?? "") {
            throw Status.badRequest(
                namespace == nil
                    ? "namespace is not allowed on this type"
                    : "the namespace of the provided object does not match the namespace sent on the request")
        }
    }
}

extension String {
    /// What follows the first occurrence of `marker`.
    fileprivate func range(after marker: String) -> String? {
        let text = Array(utf8)
        let sought = Array(marker.utf8)
        guard text.count >= sought.count else { return nil }
        for start in 0...(text.count - sought.count)
        where text[start] == sought[0] && text[start..<(start + sought.count)].elementsEqual(sought) {
            return String(decoding: text[(start + sought.count)...], as: UTF8.self)
        }
        return nil
    }
}
