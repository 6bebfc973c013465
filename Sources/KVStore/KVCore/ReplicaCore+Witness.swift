// How a witness knows where the others are. The directory changes by commands, which a witness does not keep; so the
// others tell it: each when it connects, whoever sees a change, and the leader now and then. What it was told is not
// kept on disk: whoever wants its vote tells it again first.
import Raft

extension ReplicaCore {
    /// A connection to a peer stands; messages to it are on their way from now on.
    package mutating func connected(to peer: PeerID) { if peer == raft.configuration.witness { tellWitness() } }

    mutating func tellWitness() {
        guard let witness = raft.configuration.witness, witness != id, !raft.settings.isWitness else { return }
        output.messages.append(Envelope(to: witness, .directory(state.appliedIndex, members)))
    }

    /// The latest word counts. What a snapshot said is of no known age after a restart: any word is taken over it.
    mutating func takeDirectory(_ members: [Member], as index: LogIndex) {
        guard raft.settings.isWitness, index >= toldMembers?.index ?? .zero,
            members.count <= StateMachine.membersMax, members != toldMembers?.members
        else { return }
        toldMembers = (index, members)
        output.hasNewMembers = true
    }
}
