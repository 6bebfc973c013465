// `/containerLogs`: finds the attempt that is meant and streams its file.
// The answers for containers that have no log yet are upstream's, since kubectl shows them. It must never hold
// the file open
// for a client that is gone.
import API
import NetHTTP

extension KubeletService {
    func serveLogs(
        _ request: HTTPRequest, _ response: HTTPResponseWriter, _ namespace: String, _ pod: String, _ container: String
    ) async {
        guard let life = await life(namespace, pod) else {
            return response.plain(404, "pod \"\(pod)\" does not exist")
        }
        guard let found = life.containers.first(where: { $0.spec.name == container }) else {
            return response.plain(404, "container \"\(container)\" not found in pod \"\(pod)\"")
        }
        let options: LogOptions
        do throws(LogOptionsError) { options = try LogOptions(request, now: Clock.now()) } catch {
            return response.plain(400, error.message)
        }
        let attempt = options.previous ? found.previousAttempt : found.current?.status
        guard let status = attempt, !status.logPath.isEmpty, status.state != .created else {
            if options.previous {
                return response.plain(400, "previous terminated container \"\(container)\" in pod \"\(pod)\" not found")
            }
            let why = life.waitingReason(found)
            return response.plain(400, "container \"\(container)\" in pod \"\(pod)\" is waiting to start: \(why)")
        }
        let id = status.id
        let streamer = LogStreamer(path: status.logPath, options: options) { [loop] in
            await loop.ask { pods in
                pods.uids.contains { uid in
                    pods.life(uid)?.containers.contains { $0.current?.status.id == id && $0.isRunning } ?? false
                }
            } ?? false
        }
        await streamer.run(response)
    }
}

extension ContainerLife {
    /// What `--previous` means: the last attempt that is over, before the one that runs.
    var previousAttempt: ContainerStatus? {
        isRunning || current?.status.state == .created ? previous?.status : previous?.status ?? current?.status
    }
}

extension PodLife {
    func waitingReason(_ life: ContainerLife) -> String {
        let waiting = containerStatus(life, nil)["state", "waiting"]
        guard let reason = waiting?["reason"]?.string else { return "ContainerCreating" }
        guard reason != "ContainerCreating" && reason != "PodInitializing" else { return reason }
        return ["trying and failing to pull image": ["ErrImagePull", "ImagePullBackOff"]].first {
            $0.value.contains(reason)
        }?.key ?? reason
    }
}
