// swift-tools-version: 6.2
// The module graph of Tern. Layering is checked by the compiler (`--explicit-target-dependency-import-check error`)
// and by Tests/ArchitectureTests: a target imports only what stands in its `dependencies`.
import PackageDescription

let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error)
]

let nio: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let embedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let tls: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let posix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let http1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let http2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let hpack: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let ssl: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let x509: Target.Dependency = .product(name: "X509", package: "swift-certificates")
let asn1: Target.Dependency = .product(name: "SwiftASN1", package: "swift-asn1")
let crypto: Target.Dependency = .product(name: "Crypto", package: "swift-crypto")
let cryptoExtras: Target.Dependency = .product(name: "_CryptoExtras", package: "swift-crypto")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")

/// Folders of targets that have a README of their own (SwiftPM wants it named).
let described: Set<String> = [
    "Raft", "Net/NetGRPC", "Net/NetPKI", "Net/NetBalancer", "Net/NetHTTP", "Worker/Kubelet", "Master/Controllers",
    "Master/APIServer", "Master/Scheduler", "Master/Cloud"
]

/// A library target of ours at `Sources/<folder>`.
func module(_ name: String, in folder: String, _ dependencies: [Target.Dependency]) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(folder)",
        exclude: described.contains(folder) ? ["README.md"] : [], swiftSettings: strict)
}

/// A test target at `Tests/<folder>`.
func tests(_ name: String, _ dependencies: [Target.Dependency], resources: Bool = false) -> Target {
    .testTarget(
        name: name, dependencies: dependencies, path: "Tests/\(name)",
        exclude: name == "KVEtcdTests" ? ["Clients", "Transcripts"] : [], swiftSettings: strict)
}

let package = Package(
    name: "tern",
    products: [
        .executable(name: "tern", targets: ["tern"]),
        .executable(name: "chaos", targets: ["chaos"]),
        .executable(name: "bench", targets: ["bench"])
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", from: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2")
    ],
    targets: [
        // C
        .systemLibrary(
            name: "CSQLite", path: "Sources/KVStore/CSQLite", pkgConfig: "sqlite3",
            providers: [.apt(["libsqlite3-dev"])]),
        .target(name: "CLinux", path: "Sources/Worker/CLinux"),
        .target(name: "CSchema", path: "Sources/API/CSchema", cSettings: [.unsafeFlags(["-std=c23"])]),
        .target(name: "CDeflate", path: "Sources/Net/CDeflate", linkerSettings: [.linkedLibrary("z")]),
        // Raft
        module("Raft", in: "Raft", []),
        // API
        module("API", in: "API/API", [yams, "CSchema"]),
        module("APIClient", in: "API/APIClient", ["API", "NetHTTP", "NetPKI", nio, http1, logging]),
        // Net
        module(
            "NetHTTP", in: "Net/NetHTTP", [nio, posix, tls, http1, http2, hpack, ssl, logging, "CDeflate", "NetPKI"]),
        module("NetGRPC", in: "Net/NetGRPC", [nio, posix, tls, http2, hpack, ssl, "NetPKI"]),
        module("NetDNS", in: "Net/NetDNS", []),
        module("NetBalancer", in: "Net/NetBalancer", [nio, posix, logging]),
        module("NetPKI", in: "Net/NetPKI", [nio, x509, asn1, crypto, cryptoExtras, ssl]),
        // KVStore
        module("KVCore", in: "KVStore/KVCore", ["Raft"]),
        module("KVDisk", in: "KVStore/KVDisk", ["KVCore", "Raft", "CSQLite"]),
        module("KVReplica", in: "KVStore/KVReplica", ["KVCore", "KVDisk", "Raft", "NetPKI", nio, posix, ssl, logging]),
        module(
            "KVEtcd", in: "KVStore/KVEtcd",
            ["KVReplica", "KVCore", "Raft", "NetGRPC", "NetHTTP", "NetPKI", nio, posix, crypto, logging]),
        // Master
        module(
            "APIServer", in: "Master/APIServer",
            [
                "API", "KVReplica", "KVCore", "Raft", "NetHTTP", "NetPKI", nio, posix, http1, crypto, cryptoExtras,
                x509, logging
            ]),
        module("Scheduler", in: "Master/Scheduler", ["API", logging]),
        module("Controllers", in: "Master/Controllers", ["API", logging]),
        module("Cloud", in: "Master/Cloud", ["API", logging]),
        module(
            "Master", in: "Master/Master",
            [
                "API", "APIServer", "Scheduler", "Controllers", "Cloud", "KVReplica", "KVCore", "KVEtcd", "Raft",
                "NetHTTP", "NetGRPC", "NetPKI", nio, posix, crypto, logging
            ]),
        // Worker
        module(
            "Kubelet", in: "Worker/Kubelet",
            ["API", "APIClient", "NetHTTP", "NetGRPC", "NetPKI", "CLinux", nio, posix, http1, logging]),
        module("Proxy", in: "Worker/Proxy", ["API", "CLinux", logging]),
        module("Network", in: "Worker/Network", ["API", "CLinux", logging]),
        module("DNSServer", in: "Worker/DNSServer", ["API", "NetDNS", nio, posix, logging]),
        module(
            "Worker", in: "Worker/Worker",
            [
                "API", "APIClient", "Kubelet", "Proxy", "Network", "DNSServer", "NetHTTP", "NetBalancer", "NetPKI",
                "CLinux", nio, posix, http1, crypto, logging
            ]),
        // The executable
        .executableTarget(
            name: "tern",
            dependencies: [
                "API", "APIClient", "Master", "Worker", "KVReplica", "KVEtcd", "KVCore", "Raft", "NetHTTP", "NetGRPC",
                "NetPKI", "NetBalancer", "CLinux", "Simulation",
                "APIServer", "DNSServer", "NetDNS", "Network", arguments, crypto, logging, nio, posix
            ],
            path: "Sources/tern", exclude: ["README.md", "Scripts"], swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags([
                    "-static-stdlib", "-lCoreFoundation", "-l_FoundationCShims", "-l_FoundationCollections",
                    "-l_FoundationICU", "-lswiftSynchronization"
                ])
            ]),
        // Chaos
        .target(
            name: "Simulation", dependencies: ["Raft", "KVCore", "KVDisk", "CSQLite"], path: "chaos/Simulation",
            exclude: ["README.md"],
            swiftSettings: strict),
        .executableTarget(
            name: "chaos",
            dependencies: ["API", "APIClient", "NetHTTP", "NetPKI", "Worker", arguments, logging, nio, posix],
            path: "chaos/chaos", swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags([
                    "-static-stdlib", "-lCoreFoundation", "-l_FoundationCShims", "-l_FoundationCollections",
                    "-l_FoundationICU", "-lswiftSynchronization"
                ])
            ]),
        // Bench
        .executableTarget(
            name: "bench", dependencies: ["NetGRPC", arguments, hpack, nio, posix], path: "bench/bench",
            swiftSettings: strict,
            linkerSettings: [
                .unsafeFlags([
                    "-static-stdlib", "-lCoreFoundation", "-l_FoundationCShims", "-l_FoundationCollections",
                    "-l_FoundationICU", "-lswiftSynchronization"
                ])
            ]),
        // Tests
        .target(name: "TestSupport", path: "Tests/TestSupport", swiftSettings: strict),
        tests("ArchitectureTests", []),
        tests("RaftTests", ["Raft"]),
        tests("APITests", ["API"]),
        tests("KVCoreTests", ["KVCore", "Raft"]),
        tests("KVDiskTests", ["KVDisk", "KVCore", "Raft", "CSQLite"]),
        tests(
            "KVReplicaTests",
            [
                "TestSupport", "KVReplica", "KVDisk", "CSQLite", "KVCore", "Raft", "NetPKI", nio, posix, embedded,
                logging
            ]),
        tests(
            "KVEtcdTests",
            [
                "TestSupport", "KVEtcd", "KVReplica", "KVCore", "KVDisk", "Raft", "NetGRPC", "NetPKI", "CSQLite", nio,
                posix, crypto, logging
            ]),
        tests("NetTests", ["NetHTTP", "NetGRPC", "NetDNS", "NetBalancer", "NetPKI", nio, posix, http1, ssl, logging]),
        tests(
            "APIServerTests", ["APIServer", "API", "APIClient", "KVReplica", "KVCore", "NetHTTP", "NetPKI", nio, posix]),
        tests(
            "ControllersTests",
            [
                "Controllers", "Scheduler", "Cloud", "API", "APIServer", "KVReplica", "NetHTTP", "NetPKI", nio, posix,
                logging
            ]),
        tests(
            "WorkerTests",
            [
                "Kubelet", "Proxy", "Network", "DNSServer", "Worker", "API", "NetDNS", "NetHTTP", "NetPKI", nio, posix,
                logging
            ]),
        tests("SimulationTests", ["Simulation", "KVCore", "KVDisk", "Raft"]),
        tests("ClusterTests", ["TestSupport", "Worker", "Master", "NetPKI", "API"]),
        tests(
            "FuzzTests",
            [
                "KVCore", "KVDisk", "KVReplica", "KVEtcd", "Raft", "API", "NetDNS", "NetGRPC", "NetPKI", nio, embedded,
                posix, logging
            ]),
        tests("DurabilityTests", ["TestSupport", "Worker", "NetGRPC", nio, posix])
    ],
    swiftLanguageModes: [.v6]
)
