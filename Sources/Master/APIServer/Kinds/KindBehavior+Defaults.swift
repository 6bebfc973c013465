// What a kind does when it says nothing itself, and `StoredKind`: the shape in which our kinds are written. A kind
// states its names, its scope and what it checks; metadata, status and generation are handled here once. Pure: a
// behaviour never reads the store except through what it is handed.
import API
import KVCore

extension KindBehavior {
    package func allocate(_ write: inout WriteRequest, reader: any ObjectReader, view: KVView) throws(StatusError) {}
    package func warnings(_ write: WriteRequest) -> [String] { [] }
    package var createsOnUpdate: Bool { false }
    package var allowsUnconditionalUpdate: Bool { true }
    package var deleteReturnsObject: Bool { false }
    package var defaultPropagation: String { "Background" }
    package func graceSeconds(_ object: JSON, requested: Int?) -> Int { 0 }
    package func release(_ object: JSON, view: KVView) -> [Op] { [] }
}

/// A kind that is stored: what its file says about it.
package protocol StoredKind: KindBehavior {
    var names: NameRule { get }
    var isNamespaced: Bool { get }
    /// Whether `status` is written through a subresource only.
    var hasStatus: Bool { get }
    /// Whether the server counts changes of the spec in `metadata.generation`.
    var hasGeneration: Bool { get }
    /// Sets what the server sets on create.
    func fill(_ write: inout WriteRequest)
    /// Keeps what this path may not change.
    func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String)
    func check(_ object: JSON, _ issues: inout Issues)
    func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues)
    /// Whether the difference counts in `metadata.generation`.
    func changesGeneration(_ new: JSON, _ old: JSON) -> Bool
}

extension StoredKind {
    package var names: NameRule { .subdomain }
    package var isNamespaced: Bool { true }
    package var hasStatus: Bool { false }
    package var hasGeneration: Bool { false }
    package func fill(_ write: inout WriteRequest) {}
    package func fillUpdate(_ write: inout WriteRequest, old: JSON, subresource: String) {}
    package func check(_ object: JSON, _ issues: inout Issues) {}
    /// By default the new object must pass what a create must pass.
    package func checkUpdate(_ new: JSON, _ old: JSON, subresource: String, _ issues: inout Issues) {
        if subresource.isEmpty { check(new, &issues) }
    }

    package func prepareForCreate(_ write: inout WriteRequest) {
        if hasStatus { write.object["status"] = [:] }
        if hasGeneration { write.object["metadata", "generation"] = 1 }
        for member in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            write.object.setValue(nil, at: ["metadata", member])
        }
        fill(&write)
    }

    package func prepareForUpdate(_ write: inout WriteRequest, subresource: String) {
        guard let old = write.old else { return }
        Metadata.carryOver(&write.object, from: old)
        if hasStatus {
            if subresource == "status" {
                keepAllButStatus(&write.object, old)
            } else {
                write.object["status"] = old["status"]
            }
        }
        fillUpdate(&write, old: old, subresource: subresource)
        if hasGeneration && subresource != "status" && changesGeneration(write.object, old) {
            write.object["metadata", "generation"] = .int(old.generation &+ 1)
        }
    }

    private func keepAllButStatus(_ object: inout JSON, _ old: JSON) {
        var kept = old
        kept["metadata"] = object["metadata"]
        kept["status"] = object["status"]
        if let references = old["metadata", "ownerReferences"] { kept["metadata", "ownerReferences"] = references }
        object = kept
    }

    /// By default anything but metadata and status counts.
    package func changesGeneration(_ new: JSON, _ old: JSON) -> Bool {
        let ignored: Set<String> = ["metadata", "status", "kind", "apiVersion"]
        let names = Set((new.object?.keys ?? []) + (old.object?.keys ?? [])).subtracting(ignored)
        return names.contains { new[$0] != old[$0] }
    }

    package func validateCreate(_ write: WriteRequest) -> [FieldError] {
        var issues = Issues()
        issues.add(Metadata.check(write.object, names: names, isNamespaced: isNamespaced))
        check(write.object, &issues)
        return issues.list
    }

    package func validateUpdate(_ write: WriteRequest, subresource: String) -> [FieldError] {
        guard let old = write.old else { return [] }
        var issues = Issues()
        issues.add(Metadata.checkUpdate(write.object, old, isNamespaced: isNamespaced))
        checkUpdate(write.object, old, subresource: subresource, &issues)
        return issues.list
    }
}

/// A kind without behaviour of its own.
package struct PlainKind: StoredKind {
    package var names: NameRule
    package var isNamespaced: Bool
    package var hasStatus: Bool
    package var hasGeneration: Bool
    package var createsOnUpdate: Bool

    package init(
        names: NameRule = .subdomain, isNamespaced: Bool = true, hasStatus: Bool = false, hasGeneration: Bool = false,
        createsOnUpdate: Bool = false
    ) {
        self.names = names
        self.isNamespaced = isNamespaced
        self.hasStatus = hasStatus
        self.hasGeneration = hasGeneration
        self.createsOnUpdate = createsOnUpdate
    }
}

/// A kind that nobody described: its scope is taken from the request.
package struct UnknownKind: KindBehavior {
    package init() {}
    private func plain(_ write: WriteRequest) -> PlainKind {
        PlainKind(isNamespaced: !write.attributes.namespace.isEmpty)
    }
    package func prepareForCreate(_ write: inout WriteRequest) { plain(write).prepareForCreate(&write) }
    package func prepareForUpdate(_ write: inout WriteRequest, subresource: String) {
        plain(write).prepareForUpdate(&write, subresource: subresource)
    }
    package func validateCreate(_ write: WriteRequest) -> [FieldError] { plain(write).validateCreate(write) }
    package func validateUpdate(_ write: WriteRequest, subresource: String) -> [FieldError] {
        plain(write).validateUpdate(write, subresource: subresource)
    }
}
