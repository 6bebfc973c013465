// libnftables in the process (loaded at run time, so that masters do not need it): one script is one atomic transaction.
// Not thread-safe: its owner serialises the calls.
import Glibc

/// Why rules were not taken.
package enum NFTablesError: Error, Sendable, Hashable, CustomStringConvertible {
    case libraryMissing(String)
    case refused(String)

    package var description: String {
        switch self {
        case .libraryMissing(let why): "libnftables cannot be loaded (install libnftables1): \(why)"
        case .refused(let why): "nftables refused the rules: \(why)"
        }
    }
}

package final class NFTables {
    private typealias New = @convention(c) (UInt32) -> OpaquePointer?
    private typealias Run = @convention(c) (OpaquePointer, UnsafePointer<CChar>) -> Int32
    private typealias Buffer = @convention(c) (OpaquePointer) -> Int32
    private typealias Text = @convention(c) (OpaquePointer) -> UnsafePointer<CChar>?
    private typealias Free = @convention(c) (OpaquePointer) -> Void

    private let context: OpaquePointer
    private let runCommand: Run
    private let output: Text
    private let errors: Text
    private let free: Free

    package init() throws(NFTablesError) {
        guard let library = dlopen("libnftables.so.1", RTLD_NOW) else {
            throw .libraryMissing(String(cString: dlerror()))
        }
        func symbol(_ name: String) throws(NFTablesError) -> UnsafeMutableRawPointer {
            guard let found = dlsym(library, name) else { throw .libraryMissing("no \(name)") }
            return found
        }
        let make = unsafeBitCast(try symbol("nft_ctx_new"), to: New.self)
        runCommand = unsafeBitCast(try symbol("nft_run_cmd_from_buffer"), to: Run.self)
        output = unsafeBitCast(try symbol("nft_ctx_get_output_buffer"), to: Text.self)
        errors = unsafeBitCast(try symbol("nft_ctx_get_error_buffer"), to: Text.self)
        free = unsafeBitCast(try symbol("nft_ctx_free"), to: Free.self)
        let bufferOutput = unsafeBitCast(try symbol("nft_ctx_buffer_output"), to: Buffer.self)
        let bufferErrors = unsafeBitCast(try symbol("nft_ctx_buffer_error"), to: Buffer.self)
        guard let made = make(0) else { throw .libraryMissing("no context") }
        context = made
        guard bufferOutput(context) == 0, bufferErrors(context) == 0 else { throw .libraryMissing("no buffers") }
    }

    deinit { free(context) }

    /// Runs a script as one transaction and returns what it printed.
    @discardableResult
    package func run(_ script: String) throws(NFTablesError) -> String {
        let status = runCommand(context, script)
        let printed = output(context).map { String(cString: $0) } ?? ""
        let complaint = errors(context).map { String(cString: $0) } ?? ""
        guard status == 0 else { throw .refused(String(complaint.prefix(2000))) }
        return printed
    }
}
