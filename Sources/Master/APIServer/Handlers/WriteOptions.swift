// dryRun, fieldManager and fieldValidation: query parameters that every write takes, refused with upstream's words.
// Pure.
import API

struct WriteOptions {
    let verb: String

    private var kind: GroupVersionKind {
        let name =
            ["create": "CreateOptions", "update": "UpdateOptions", "patch": "PatchOptions"][verb] ?? "DeleteOptions"
        return GroupVersionKind("meta.k8s.io", "v1", name)
    }

    private func refuse(_ reason: String, _ message: String, _ field: String) -> StatusError {
        Status.invalid(kind, "", [StatusCause(reason: reason, message: message, field: field)])
    }

    func isDryRun(_ values: [String]) throws(StatusError) -> Bool {
        let given = values.filter { !$0.isEmpty }
        if given.isEmpty { return false }
        if given.allSatisfy({ $0 == "All" }) { return true }
        let shown = given.map { Go.quote($0) }.joined(separator: ",")
        throw refuse("FieldValueNotSupported", "Unsupported value: [\(shown)]: supported values: \"All\"", "dryRun")
    }

    func fieldManager(_ value: String?) throws(StatusError) -> String {
        guard let value else { return "" }
        if value.utf8.count > 128 {
            throw refuse("FieldValueTooLong", "Too long: may not be more than 128 bytes", "fieldManager")
        }
        return value
    }

    func managerIsMissing() -> StatusError {
        refuse("FieldValueRequired", "Required value: is required for apply patch", "fieldManager")
    }

    /// Who a client is that does not name its manager: its program.
    static func manager(userAgent: String?) -> String {
        let program = (userAgent ?? "").prefix { $0 != "/" }.unicodeScalars.filter {
            $0.value >= 0x20 && $0.value < 0x7f
        }
        return program.isEmpty ? "unknown" : String(String.UnicodeScalarView(program.prefix(128)))
    }

    func fieldValidation(_ value: String?) throws(StatusError) -> FieldValidation {
        guard let value, !value.isEmpty else { return .warn }
        if let found = FieldValidation(rawValue: value) { return found }
        throw refuse(
            "FieldValueNotSupported",
            "Unsupported value: \(Go.quote(value)): supported values: \"\", \"Ignore\", \"Strict\", \"Warn\"",
            "fieldValidation")
    }
}
