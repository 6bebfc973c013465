// Keeps the kernel's table equal to the service state: collects changes for a moment, then applies the difference in one transaction.
// When a difference is refused, the whole table is made afresh; when that is refused too, the error is reported and tried again.
import Logging

package final class RuleKeeper {
    private let tables: NFTables
    private let podNetwork: String
    private let logger: Logger
    private var applied: RuleSet?

    package init(podNetwork: String, logger: Logger) throws(NFTablesError) {
        tables = try NFTables()
        self.podNetwork = podNetwork
        self.logger = logger
    }

    /// Makes the kernel agree with `state`; returns the UDP endpoints that went away.
    package func apply(_ state: ServiceState) throws(NFTablesError) -> [String] {
        let wanted = RuleSet(state, podNetwork: podNetwork)
        guard let old = applied else {
            try tables.run(
                RuleScript.frame(podNetwork: podNetwork) + RuleScript.difference(from: RuleSet(), to: wanted))
            applied = wanted
            return []
        }
        let script = RuleScript.difference(from: old, to: wanted)
        if script.isEmpty { return [] }
        do {
            try tables.run(script)
        } catch {
            logger.warning("proxy: the difference was refused, making the table afresh: \(error)")
            applied = nil
            try tables.run(
                RuleScript.frame(podNetwork: podNetwork) + RuleScript.difference(from: RuleSet(), to: wanted))
        }
        applied = wanted
        return RuleScript.goneUDPEndpoints(from: old, to: wanted)
    }

    /// Removes the table.
    package func remove() throws(NFTablesError) {
        try tables.run(RuleScript.removal)
        applied = nil
    }
}
