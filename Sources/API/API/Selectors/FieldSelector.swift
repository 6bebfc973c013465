// Field selectors: `metadata.name=a,status.phase!=Running`. Each kind supports only the labels that its row of the
// schema table names; anything else is refused with upstream's words. Pure values.

/// A field selector.
package struct FieldSelector: Sendable, Hashable {
    package struct Requirement: Sendable, Hashable {
        package var field: String
        package var isEqual: Bool
        package var value: String

        package init(field: String, isEqual: Bool = true, value: String) {
            self.field = field
            self.isEqual = isEqual
            self.value = value
        }
    }

    package static let everything = FieldSelector(requirements: [])
    package static let requirementsMax = 1000

    package var requirements: [Requirement]

    package init(requirements: [Requirement]) { self.requirements = requirements }

    /// From text, checked against what `resource` supports (nil: unchecked); refuses with 400.
    package init(_ text: String, for resource: ResourceSchema?) throws(StatusError) {
        requirements = []
        for part in Self.split(text) where !part.isEmpty {
            guard requirements.count < Self.requirementsMax else {
                throw Status.badRequest("too many field requirements")
            }
            guard let requirement = Self.requirement(part) else {
                throw Status.badRequest("invalid selector: '\(text)'; can't understand '\(part)'")
            }
            requirements.append(requirement)
        }
        if let resource { try check(for: resource) }
    }

    private mutating func check(for resource: ResourceSchema) throws(StatusError) {
        let metadata = resource.isNamespaced ? ["metadata.name", "metadata.namespace"] : ["metadata.name"]
        for index in requirements.indices {
            if resource.definition == "io.k8s.api.core.v1.Pod", requirements[index].field == "spec.host" {
                requirements[index].field = "spec.nodeName"
            }
            let field = requirements[index].field
            if metadata.contains(field) || resource.selectableFields.contains(field) { continue }
            if resource.selectableFields.isEmpty {
                let known = metadata.map(Go.quote).joined(separator: ", ")
                throw Status.badRequest("\(Go.quote(field)) is not a known field selector: only \(known)")
            }
            throw Status.badRequest("field label not supported: \(field)")
        }
    }

    /// At commas that no backslash precedes.
    private static func split(_ text: String) -> [String] {
        var parts: [String] = [""]
        var isEscaped = false
        for character in text {
            if character == "," && !isEscaped {
                parts.append("")
                continue
            }
            parts[parts.count - 1].append(character)
            isEscaped = character == "\\" && !isEscaped
        }
        return parts
    }

    private static func requirement(_ part: String) -> Requirement? {
        for (separator, isEqual) in [("!=", false), ("==", true), ("=", true)] {
            guard let range = part.firstRange(of: separator) else { continue }
            if separator == "=" || part[..<range.lowerBound].firstIndex(of: "=") == nil {
                guard let value = unescaped(part[range.upperBound...]) else { return nil }
                return Requirement(field: String(part[..<range.lowerBound]), isEqual: isEqual, value: value)
            }
        }
        return nil
    }

    /// nil when a backslash escapes nothing, or a special character stands bare.
    private static func unescaped(_ text: Substring) -> String? {
        var value = ""
        var isEscaped = false
        for character in text {
            if isEscaped {
                guard character == "\\" || character == "," || character == "=" else { return nil }
                value.append(character)
                isEscaped = false
            } else if character == "\\" {
                isEscaped = true
            } else if character == "=" {
                return nil
            } else {
                value.append(character)
            }
        }
        return isEscaped ? nil : value
    }

    package var isEverything: Bool { requirements.isEmpty }

    package func matches(_ object: JSON) -> Bool {
        requirements.allSatisfy { requirement in
            Self.values(of: requirement.field, in: object).contains(requirement.value) == requirement.isEqual
        }
    }

    /// The value that the selector demands of a field by equality, e.g. `metadata.name`; nil when it demands none.
    package func required(_ field: String) -> String? {
        requirements.first { $0.field == field && $0.isEqual }?.value
    }

    package var text: String {
        requirements.map { "\($0.field)\($0.isEqual ? "=" : "!=")\(Self.escaped($0.value))" }.joined(separator: ",")
    }

    private static func escaped(_ value: String) -> String {
        value.reduce(into: "") { text, character in
            if character == "\\" || character == "," || character == "=" { text.append("\\") }
            text.append(character)
        }
    }

    /// What a label means in an object: one text, or several (`status.podIPs`).
    package static func values(of field: String, in object: JSON) -> [String] {
        switch field {
        case "status.podIPs": return object["status", "podIPs"]?.elements.compactMap { $0["ip"]?.string } ?? [""]
        case "status.successful":
            return [text(object["status", "succeeded"]) == "" ? "0" : text(object["status", "succeeded"])]
        case "source": return [object["source", "component"]?.string ?? object["reportingComponent"]?.string ?? ""]
        case "reportingComponent":
            return [object["reportingComponent"]?.string ?? object["reportingController"]?.string ?? ""]
        case "reportingController":
            return [object["reportingController"]?.string ?? object["reportingComponent"]?.string ?? ""]
        case "spec.unschedulable", "spec.hostNetwork":
            let last = field == "spec.unschedulable" ? "unschedulable" : "hostNetwork"
            return [object["spec", last]?.bool == true ? "true" : "false"]
        default: return [text(object.value(at: path(field, in: object)))]
        }
    }

    /// core and events.k8s.io Events are the same objects under two sets of names.
    private static func path(_ field: String, in object: JSON) -> [String] {
        var path = field.split(separator: ".").map(String.init)
        if path.first == "regarding", object["regarding"] == nil { path[0] = "involvedObject" }
        if path.first == "involvedObject", object["involvedObject"] == nil { path[0] = "regarding" }
        return path
    }

    private static func text(_ value: JSON?) -> String {
        switch value {
        case .string(let text): text
        case .int(let number): String(number)
        case .bool(let flag): flag ? "true" : "false"
        default: ""
        }
    }
}
