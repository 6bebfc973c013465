// At the end of a run: what the state databases keep of the past is one story, without a gap and the same on every host.

import KVCore
import KVDisk
import Raft

extension World {
    mutating func checkHistories() {
        var known: [Revision: RevisionEvents] = [:]
        for host in hosts where host.life?.isFlipped == false && !host.isWitness && !host.disk.isStateRotten {
            do throws(DiskError) {
                for item in try host.disk.history() {
                    report.count(.keptRevisions)
                    guard known[item.revision, default: item] == item else {
                        return fail("host \(host.id): keeps other events of revision \(item.revision)")
                    }
                    known[item.revision] = item
                }
            } catch { fail("host \(host.id): cannot read its past: \(error)") }
        }
    }
}
