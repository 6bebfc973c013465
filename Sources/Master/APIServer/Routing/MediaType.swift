// Content negotiation: which encoding a body has, which encoding and form (object, Table, metadata only) an answer
// gets. Pure. JSON is preferred whenever a client takes it, since stored bytes are JSON and need no work.

/// One media type with its parameters, as in `Accept` and `Content-Type`.
package struct MediaType: Sendable, Hashable {
    package var type: String
    package var parameters: [String: String]
    /// Thousandths.
    var quality: Int = 1000

    package init?(_ text: some StringProtocol) {
        var pieces = text.split(separator: ";", omittingEmptySubsequences: true).map { Self.trim($0) }
        guard !pieces.isEmpty, !pieces[0].isEmpty else { return nil }
        type = pieces.removeFirst().lowercased()
        parameters = [:]
        for piece in pieces {
            let pair = piece.split(separator: "=", maxSplits: 1).map { Self.trim($0) }
            guard pair.count == 2 else { continue }
            let value =
                pair[1].hasPrefix("\"") && pair[1].hasSuffix("\"") && pair[1].count > 1
                ? String(pair[1].dropFirst().dropLast()) : pair[1]
            if pair[0] == "q" { quality = Int((Double(value) ?? 1) * 1000) } else { parameters[pair[0]] = value }
        }
    }

    private static func trim(_ text: some StringProtocol) -> String {
        let from = text.drop { $0 == " " || $0 == "\t" }
        return String(from.reversed().drop { $0 == " " || $0 == "\t" }.reversed())
    }

    /// The clauses of an Accept header, best first; clauses of one quality keep their order.
    package static func clauses(_ accept: String) -> [MediaType] {
        let all = accept.split(separator: ",").prefix(32).compactMap { MediaType($0) }.filter { $0.quality > 0 }
        return all.enumerated().sorted { ($1.element.quality, $0.offset) < ($0.element.quality, $1.offset) }.map(
            \.element)
    }
}

/// How bytes are written.
package enum Encoding: Sendable, Hashable {
    case json, yaml, protobuf

    init?(mediaType: String) {
        switch mediaType {
        case "application/json", "*/*", "application/*": self = .json
        case "application/yaml": self = .yaml
        case "application/vnd.kubernetes.protobuf": self = .protobuf
        default: return nil
        }
    }

    package var contentType: String {
        switch self {
        case .json: "application/json"
        case .yaml: "application/yaml"
        case .protobuf: "application/vnd.kubernetes.protobuf"
        }
    }

    static let mediaTypes = ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]
}

/// What is shown of an object.
package enum Form: Sendable, Hashable {
    case object
    /// `meta.k8s.io/<version>` Table.
    case table(version: String)
    case metadata(version: String)
    case metadataList(version: String)
}

/// The form and encoding of an answer.
package struct Representation: Sendable, Hashable {
    package var encoding: Encoding = .json
    package var form: Form = .object
    package var isPretty = false
    static let json = Representation()

    package enum Refusal: Error, Hashable {
        /// No clause names a media type that is served.
        case noMediaType
        /// The media types are served, the asked `as=` is not.
        case noForm
    }

    /// The first clause that can be served; protobuf only where no clause takes JSON in the same form.
    package static func negotiate(accept: String?, allowsForms: Bool = true) throws(Refusal) -> Representation {
        guard let accept, !accept.isEmpty else { return Representation() }
        var fallback: Representation?
        var sawMediaType = false
        for clause in MediaType.clauses(accept) {
            guard let encoding = Encoding(mediaType: clause.type) else { continue }
            sawMediaType = true
            guard let form = form(clause, allowsForms: allowsForms) else { continue }
            let found = Representation(encoding: encoding, form: form, isPretty: clause.parameters["pretty"] == "1")
            if let fallback, fallback.form != form { return fallback }
            if encoding != .protobuf { return found }
            fallback = fallback ?? found
        }
        if let fallback { return fallback }
        throw sawMediaType ? .noForm : .noMediaType
    }

    private static func form(_ clause: MediaType, allowsForms: Bool) -> Form? {
        guard let wanted = clause.parameters["as"] else { return .object }
        let version = clause.parameters["v"] ?? ""
        guard allowsForms, clause.parameters["g"] == "meta.k8s.io", version == "v1" || version == "v1beta1" else {
            return nil
        }
        switch wanted {
        case "Table": return .table(version: version)
        case "PartialObjectMetadata": return .metadata(version: version)
        case "PartialObjectMetadataList": return .metadataList(version: version)
        default: return nil
        }
    }
}
