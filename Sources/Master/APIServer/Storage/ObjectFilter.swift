// Which objects a list or watch selects: by label, by field, by name. Reads no more of an object than the selectors ask
// for.
import API

struct ObjectFilter: Sendable {
    var labels: LabelSelector
    var fields: FieldSelector
    /// Field requirements beyond name and namespace need the whole tree.
    private var name: String?
    private var namespace: String?
    private var needsTree: Bool
    private let kind: GroupVersionKind

    /// `name` is that of a watch on one object's path.
    init(labels: String, fields: String, name: String?, _ schema: ResourceSchema) throws(StatusError) {
        self.labels = labels.isEmpty ? .everything : try LabelSelector(labels)
        self.fields = fields.isEmpty ? .everything : try FieldSelector(fields, for: schema)
        kind = schema.kind
        self.name = name ?? self.fields.required("metadata.name")
        namespace = self.fields.required("metadata.namespace")
        needsTree = self.fields.requirements.contains {
            !$0.isEqual || ($0.field != "metadata.name" && $0.field != "metadata.namespace")
        }
    }

    var isEverything: Bool { labels.isEverything && fields.isEverything && name == nil }
    /// The only name that can match.
    var onlyName: String? { name }

    func matches(_ object: FeedObject) -> Bool {
        if let name, name != object.name { return false }
        if let namespace, namespace != object.namespace { return false }
        if !labels.isEverything && !labels.matches(object.labels) { return false }
        return !needsTree || fields.matches(object.tree(kind))
    }
}
