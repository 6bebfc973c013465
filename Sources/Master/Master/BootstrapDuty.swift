// What the leading master does besides controllers and scheduler: creates what every cluster has from its first second, and keeps the
// Service `kubernetes` pointing at the masters that answer. Runs while this master leads; everything may be repeated.
import API
import APIServer
import Glibc
import Logging
import Synchronization

final class BootstrapDuty: Sendable {
    static let publishEvery: Duration = .seconds(2)
    static let retryAfter: Duration = .milliseconds(200)
    private let configuration: MasterConfiguration
    private let logger: Logger
    private let task = Mutex<Task<Void, Never>?>(nil)

    init(configuration: MasterConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// `masters` gives the addresses of the masters that can be reached now.
    func activate(client: any ObjectClient, masters: @escaping @Sendable () async -> [String]) {
        task.withLock { task in
            task?.cancel()
            task = Task { await self.run(client, masters) }
        }
    }

    func deactivate() {
        task.withLock { task in
            task?.cancel()
            task = nil
        }
    }

    private func run(_ client: any ObjectClient, _ masters: @Sendable () async -> [String]) async {
        let settings = Bootstrap.Configuration(
            apiAddress: configuration.serviceAddress, dnsAddress: configuration.dnsAddress,
            apiPort: Int64(configuration.apiPort))
        let bootstrap = Bootstrap(client: client, configuration: settings)
        var isDone = false
        while !Task.isCancelled {
            do {
                if !isDone { try await bootstrap.run() }
                isDone = true
                try await bootstrap.publish(masters: await masters())
                try await Task.sleep(for: Self.publishEvery)
            } catch is CancellationError {
                return
            } catch {
                if !Task.isCancelled { logger.warning("bootstrap: \(error)") }
                do { try await Task.sleep(for: Self.retryAfter) } catch { return }
            }
        }
    }
}
