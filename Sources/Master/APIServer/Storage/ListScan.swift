// Walks the objects of a list in key order: selects, cuts at the limit, makes the token to go on.
import API
import KVCore

/// One list over one view.
struct ListScan {
    let view: KVView
    let resource: ResourceSchema
    let prefix: String
    let filter: ObjectFilter
    /// Keys up to here were in the first parts.
    var after: [UInt8] = []
    /// 0 = no limit.
    var limit = 0

    init(_ view: KVView, _ resource: ResourceSchema, _ namespace: String?, _ filter: ObjectFilter) {
        self.view = view
        self.resource = resource
        self.filter = filter
        prefix = StoreKey.prefix(resource.resource, namespace: namespace)
    }

    private var allPrefixCount: Int { StoreKey.prefix(resource.resource).utf8.count }

    private var range: KeyRange {
        var range = KeyRange.prefix(Key(prefix))
        if !after.isEmpty { range.lower = Key(Array(prefix.utf8) + after + [0]) }
        return range
    }

    /// What a scan found.
    struct Result {
        var objects: [FeedObject] = []
        var storedBytes = 0
        /// Nil when the list is complete.
        var next: [UInt8]?
        /// Objects behind the cut; nil with selectors.
        var remaining: Int?
    }

    func objects() -> [FeedObject] { run().objects }

    func run() -> Result {
        var result = Result()
        let count = allPrefixCount
        var cutKey: Key?
        var lastKey: Key?
        view.forEach(range) { kv in
            if limit > 0 && result.objects.count == limit {
                cutKey = lastKey
                return false
            }
            guard let (namespace, name) = ObjectKey.split(kv.key, count, resource.isNamespaced),
                let stored = StoredObject(kv.value, revision: kv.modRevision)
            else { return true }
            let object = FeedObject(stored: stored, namespace: namespace, name: name)
            guard filter.matches(object) else { return true }
            result.objects.append(object)
            result.storedBytes += kv.value.count
            lastKey = kv.key
            return true
        }
        if let cutKey {
            result.next = Array(cutKey.bytes.dropFirst(prefix.utf8.count))
            if filter.isEverything {
                result.remaining = view.count(KeyRange(lower: Key(cutKey.bytes + [0]), upper: Key(prefix).prefixEnd))
            }
        }
        return result
    }
}
