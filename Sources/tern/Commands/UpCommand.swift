// `tern up` and `tern down`: the development cluster of this clone.
import ArgumentParser
import Glibc
import Worker

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Start (or repair) three masters and two workers on this machine; `make up` builds first.")
    @Option(help: "Seconds to wait until every host is ready.")
    var timeout = 120

    func run() async throws {
        try requireRoot("to make network namespaces")
        let (began, wallBegan) = (monotonicMilliseconds(), NodeReadiness.now)
        let layout = try Layout.current()
        func report(_ text: String) { say("[\(seconds(since: began))] \(text)") }
        let port = try Cluster(layout: layout).up(report)
        let readiness = Readiness(layout: layout, port: port)
        try await readiness.waitForMasters(seconds: timeout)
        report("Masters ready")
        try prepareImages(layout)
        try await loadImages(layout)
        report("Images loaded")
        try await readiness.waitForNodes(layout.workers, since: wallBegan, seconds: timeout)
        report("Nodes ready")
        sayHowToUse()
    }

    private func seconds(since began: Int) -> String {
        let milliseconds = monotonicMilliseconds() - began
        return "\(milliseconds / 1000).\(milliseconds / 100 % 10)s"
    }

    private func prepareImages(_ layout: Layout) throws {
        let folder = "\(layout.root)/images"
        try Files.makeDirectory(folder)
        guard let busybox = ["/bin/busybox", "/usr/bin/busybox"].first(where: Files.exists) else {
            throw CommandFailure("busybox is not there: install busybox-static")
        }
        for (file, image) in ClusterImages.all(busybox: try Files.read(busybox))
        where !Files.exists("\(folder)/\(file)") {
            try Files.write(image.archive(), to: "\(folder)/\(file)")
        }
    }

    private func loadImages(_ layout: Layout) async throws {
        for host in layout.workers {
            let marker = "\(layout.data(host))/images-loaded"
            if Files.exists(marker) { continue }
            let images = HostImages(layout: layout, host: host)
            try await images.waitForRuntime(seconds: timeout)
            for name in Files.list("\(layout.root)/images") {
                try images.load("\(layout.root)/images/\(name)", quietly: true)
            }
            try Files.write("", to: marker)
        }
    }

    private func sayHowToUse() {
        say("")
        say(". .tern/env                              # kubectl and tern on PATH, the cluster in KUBECONFIG")
        say("kubectl get nodes -o wide")
        say("kubectl create deployment web --image=tern.local/web:1 --replicas=6")
        say("kubectl get pods -o wide -w              # in another terminal, while you")
        say("tern kill $(tern leader)                 # kill the leading master: nobody notices")
    }
}

struct DownCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "down", abstract: "Stop the development cluster and keep its data; `make down` removes everything."
    )

    func run() throws {
        try requireRoot("to stop hosts")
        try Cluster(layout: try Layout.current()).down()
    }
}
