// The images that `make up` brings: made here from the machine's static busybox, since no registry needs to be reached.
// `tern.local/web` answers HTTP on 8080 with its pod's name and version; `tern.local/tools` has a shell and the usual tools.
import Worker

enum ClusterImages {
    static let applets = [
        "ash", "awk", "cat", "chmod", "cp", "cut", "date", "dd", "df", "du", "echo", "env", "expr", "false", "find",
        "free", "grep", "head", "hostname",
        "httpd", "id", "ip", "kill", "less", "ln", "ls", "mkdir", "mv", "nc", "netstat", "nslookup", "ping", "printf",
        "ps", "pwd", "readlink", "rm", "sed",
        "seq", "sh", "sleep", "sort", "stat", "sync", "tail", "tar", "tee", "test", "time", "timeout", "top", "touch",
        "tr", "true", "uname", "uniq",
        "vi", "wc", "wget", "which", "whoami", "xargs", "yes"
    ]

    /// Name of the archive's file and the image.
    static func all(busybox: [UInt8]) -> [(file: String, image: ImageArchive)] {
        [
            ("web-1.tar", web(busybox, version: "1")),
            ("web-2.tar", web(busybox, version: "2")),
            ("tools-1.tar", tools(busybox))
        ]
    }

    private static func base(_ image: inout ImageArchive, _ busybox: [UInt8]) {
        for folder in ["bin", "etc", "root", "tmp", "www", "var", "usr", "usr/bin"] {
            image.add(directory: folder, mode: folder == "tmp" ? 0o1777 : 0o755)
        }
        image.add(file: "bin/busybox", busybox, mode: 0o755)
        for applet in applets { image.add(link: "bin/\(applet)", to: "busybox") }
        image.add(
            file: "etc/passwd", Array("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n".utf8))
        image.add(file: "etc/group", Array("root:x:0:\nnobody:x:65534:\n".utf8))
    }

    /// Stops on SIGTERM by itself: pid 1 gets no default signal actions.
    private static func web(_ busybox: [UInt8], version: String) -> ImageArchive {
        let script = """
            #!/bin/sh
            mkdir -p /tmp/www
            echo "$(hostname) version \(version)" > /tmp/www/index.html
            trap 'kill $child; exit 0' TERM INT
            httpd -f -p 8080 -h /tmp/www &
            child=$!
            wait $child

            """
        var image = ImageArchive(reference: "tern.local/web:\(version)", entrypoint: ["/bin/start"])
        base(&image, busybox)
        image.add(file: "bin/start", Array(script.utf8), mode: 0o755)
        return image
    }

    private static func tools(_ busybox: [UInt8]) -> ImageArchive {
        let script = """
            #!/bin/sh
            trap 'kill $child; exit 0' TERM INT
            sleep 2147483647 &
            child=$!
            wait $child

            """
        var image = ImageArchive(reference: "tern.local/tools:1", entrypoint: [], command: ["/bin/start"])
        base(&image, busybox)
        image.add(file: "bin/start", Array(script.utf8), mode: 0o755)
        return image
    }
}
