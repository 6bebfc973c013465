// Gives back memory that only the start of a process needed: pages of code and tables that the loader and the first seconds read.
// They are clean copies of files and come back by themselves when they are touched. What was ever written is left alone.
import CLinux
import Glibc

package enum ProcessMemory {
    static let firstAfter: Duration = .seconds(5)
    static let every: Duration = .seconds(60)

    /// For processes with few threads that allocate little: two heaps instead of eight a core, and what is free at their ends
    /// goes back to the system. Call before the first thread.
    package static func limitHeaps() { tern_limit_heaps(2) }

    /// Releases now and then, for the life of the process. A large heap is not trimmed: that would hold up who allocates.
    package static func keepSmall(trimsHeaps: Bool) {
        Task.detached(priority: .background) {
            var pause = firstAfter
            while !Task.isCancelled {
                do { try await Task.sleep(for: pause) } catch { return }
                pause = every
                releaseFilePages()
                if trimsHeaps { tern_trim_heaps() }
            }
        }
    }

    private static func releaseFilePages() {
        guard case .success(let text) = Result(catching: { try Files.text("/proc/self/smaps") }) else { return }
        for range in MemoryMap.cleanFileRanges(text) {
            guard let start = UnsafeMutableRawPointer(bitPattern: range.lowerBound) else { continue }
            madvise(start, Int(range.upperBound - range.lowerBound), Int32(MADV_DONTNEED))
        }
    }
}

/// What `/proc/PID/smaps` says. Pure.
package enum MemoryMap {
    /// Mappings of files that nobody can write and that hold no page of our own (relocated tables, for one, do).
    package static func cleanFileRanges(_ smaps: String) -> [Range<UInt>] {
        var found: [Range<UInt>] = []
        var candidate: Range<UInt>?
        for line in smaps.split(separator: "\n") {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard let first = words.first else { continue }
            if first.hasSuffix(":") {
                guard let range = candidate, first == "Anonymous:" else { continue }
                if words.count > 1, words[1] == "0" { found.append(range) }
                candidate = nil
            } else {
                candidate = fileRange(words)
            }
        }
        return found
    }

    private static func fileRange(_ words: [Substring]) -> Range<UInt>? {
        guard words.count > 5, words[5].hasPrefix("/"), words[1].hasPrefix("r"), words[1].hasSuffix("p"),
            !words[1].contains("w")
        else { return nil }
        let ends = words[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        return ends.count == 2 && ends[0] < ends[1] ? ends[0]..<ends[1] : nil
    }
}
