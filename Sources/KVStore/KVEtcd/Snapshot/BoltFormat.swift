// The layout of bbolt's database file, in which etcd keeps and hands out its data: pages with a header; two meta pages;
// B+ trees of leaf and branch pages, one a bucket, under a root bucket of their names. Numbers are little-endian.

/// Numbers of the layout.
enum BoltFormat {
    static let pageBytes = 4096
    static let pageHeaderBytes = 16
    static let elementBytes = 16
    static let bucketBytes = 16
    static let magic: UInt32 = 0xED0C_DAED
    static let version: UInt32 = 2
    static let branchFlag: UInt16 = 0x01
    static let leafFlag: UInt16 = 0x02
    static let metaFlag: UInt16 = 0x04
    static let bucketElement: UInt32 = 0x01
    /// The free pages are not listed: who opens the file finds them.
    static let noFreelist = UInt64.max
    /// Of a meta page, without its checksum.
    static let metaBytes = 56
    /// A tree that is deeper is not one.
    static let depthMax = 40

    /// 64 bits of FNV-1a.
    static func checksum(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}

/// Why a file is not a database of this kind, or could not be written.
package struct BoltError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String
    init(_ description: String) { self.description = description }
}
