// What a member does about itself once it runs: it tells the directory its name and where clients find it, and one that
// was added as a learner for the time being asks to vote when it has caught up. A witness tells nothing: it cannot
// write, and clients find nothing there.
import KVCore
import Logging
import Raft

extension Replica {
    /// Returns when the directory knows this member and it has the role that it was added for, or when the replica ends.
    package func settleIn(clientURLs: [String]) async {
        while !loop.isEndedOutside {
            if await isUpToDate(), await hasSettled(clientURLs) { return }
            do { try await Task.sleep(for: .milliseconds(50)) } catch { return }
        }
    }

    /// It knows what the directory said of it when it was asked: who tells itself anew must not take back what others
    /// told of it meanwhile. A witness tells nothing.
    private func isUpToDate() async -> Bool {
        guard !configuration.raft.isWitness else { return true }
        do throws(ProposeError) { try await barrier() } catch { return false }
        return true
    }

    /// What the directory has of this member. nil: it is not entered yet, and whoever does that would overwrite what is
    /// told now.
    private func entered() async -> Member? {
        let id = configuration.id
        guard !configuration.raft.isWitness else { return await directory().first { $0.id == id } }
        return await loop.call(orElse: nil) { $0.core.state.members[id] }
    }

    private func hasSettled(_ clientURLs: [String]) async -> Bool {
        let status = status
        guard status.leader != nil, let here = status.members.first(where: { $0.id == configuration.id }),
            let known = await entered()
        else { return false }
        do throws(ProposeError) {
            if !configuration.raft.isWitness,
                known.name != configuration.name || known.clientURLs != clientURLs
            {
                var told = known
                told.name = configuration.name
                told.clientURLs = clientURLs
                try await updateMember(told)
            }
            if here.role == .learner, !here.staysLearner { try await promoteMember(configuration.id) }
            return true
        } catch {
            configuration.logger.debug("not settled yet", metadata: ["error": "\(error)"])
            return false
        }
    }
}
