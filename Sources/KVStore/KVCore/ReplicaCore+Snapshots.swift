// Snapshots between replicas, a piece at a time: the receiver asks for each next piece, so a lost one is simply asked
// for again. The sender holds an immutable state; the receiver tells Raft only when it has everything, and swaps when
// the disk has it.
import Raft

struct SnapshotSender: Sendable {
    let peer: PeerID
    let transfer: UInt64
    var source: SnapshotSource
    let metadata: SnapshotMetadata
    let isRepair: Bool
    var chunk: SnapshotChunk
    var sentAt: Int64
    var heardAt: Int64
}

struct SnapshotReceiver: Sendable {
    let peer: PeerID
    let transfer: UInt64
    var next: UInt64 = 0
    var sink: SnapshotSink
    var heardAt: Int64
}

extension StateMachine {
    /// What a witness is sent: the place in the log, and whom it reaches where.
    package var withoutKeys: StateMachine {
        var other = StateMachine()
        other.appliedIndex = appliedIndex
        other.appliedTerm = appliedTerm
        other.members = members
        other.hashMembers()
        return other
    }
}

extension ReplicaCore {
    static var snapshotResendMilliseconds: Int64 { 500 }
    static var snapshotGiveUpMilliseconds: Int64 { 5000 }

    /// `isRepair`: the receiver has the log; it lacks a state that it can trust.
    mutating func beginSnapshot(to peer: PeerID, isRepair: Bool = false) {
        senders.removeAll { $0.peer == peer }
        // Who joined and is behind with applying does not know yet who took part so early.
        guard !isFenced, let configuration = raft.configuration(at: state.appliedIndex), !configuration.voters.isEmpty
        else {
            return raft.snapshotSent(to: peer, through: nil)
        }
        lastTransfer &+= 1
        let metadata = SnapshotMetadata(
            index: state.appliedIndex, term: state.appliedTerm, configuration: configuration)
        var sender = SnapshotSender(
            peer: peer, transfer: lastTransfer,
            source: SnapshotSource(
                peer == raft.configuration.witness ? state.withoutKeys : state, pieceBytes: limits.snapshotPieceBytes),
            metadata: metadata,
            isRepair: isRepair,
            chunk: SnapshotChunk(transfer: lastTransfer, sequence: 0, data: []), sentAt: now, heardAt: now)
        prepare(&sender, 0)
        senders.append(sender)
        if !isRepair { hold(for: peer, after: metadata.index) }
        output.messages.append(Envelope(to: peer, .snapshotChunk(sender.chunk)))
    }

    private func prepare(_ sender: inout SnapshotSender, _ sequence: UInt64) {
        sender.chunk = SnapshotChunk(transfer: sender.transfer, sequence: sequence, data: sender.source.next())
        sender.chunk.isRepair = sender.isRepair
        guard sender.source.isDone else { return }
        sender.chunk.message = Message(from: id, to: sender.peer, term: raft.term, .installSnapshot(sender.metadata))
    }

    /// The receiver wants `next`; nil: it gave up.
    mutating func snapshotAnswered(_ transfer: UInt64, _ next: UInt64?, by peer: PeerID) {
        guard let i = senders.firstIndex(where: { $0.transfer == transfer && $0.peer == peer }) else { return }
        guard let next else { return endSender(i, succeeded: false) }
        senders[i].heardAt = now
        if next == senders[i].chunk.sequence &+ 1 {
            if senders[i].chunk.message != nil { return endSender(i, succeeded: true) }
            prepare(&senders[i], next)
        } else if next != senders[i].chunk.sequence {
            return
        }
        senders[i].sentAt = now
        output.messages.append(Envelope(to: peer, .snapshotChunk(senders[i].chunk)))
    }

    private mutating func endSender(_ i: Int, succeeded: Bool) {
        let sender = senders.remove(at: i)
        guard !sender.isRepair else { return }
        raft.snapshotSent(to: sender.peer, through: succeeded ? sender.metadata.index : nil)
        if succeeded { limitHold(for: sender.peer) } else { release(sender.peer) }
    }

    mutating func endSenders() {
        senders = []
        holds = []
    }

    /// Who has caught up meanwhile, as by an earlier snapshot, needs no more of this one.
    private mutating func endNeedlessSenders() {
        guard senders.contains(where: { !$0.isRepair }) else { return }
        let waiting = raft.followers.filter { $0.state == .snapshot }.map(\.id)
        let needless = senders.filter { !$0.isRepair && !waiting.contains($0.peer) }.map(\.peer)
        senders.removeAll { needless.contains($0.peer) }
        for peer in needless { limitHold(for: peer) }
    }

    mutating func tickSnapshots() {
        endNeedlessSenders()
        for peer in senders.filter({ now - $0.heardAt >= Self.snapshotGiveUpMilliseconds }).map(\.peer) {
            if let i = senders.firstIndex(where: { $0.peer == peer }) { endSender(i, succeeded: false) }
        }
        for i in senders.indices where now - senders[i].sentAt >= Self.snapshotResendMilliseconds {
            senders[i].sentAt = now
            output.messages.append(Envelope(to: senders[i].peer, .snapshotChunk(senders[i].chunk)))
        }
        if let receiver, now - receiver.heardAt >= 2 * Self.snapshotGiveUpMilliseconds { self.receiver = nil }
    }
}

extension ReplicaCore {
    mutating func receive(_ chunk: SnapshotChunk, from peer: PeerID) {
        guard installing == nil, staged == nil else { return }
        guard raft.leader == nil || raft.leader == peer else { return decline(chunk, peer) }
        if chunk.sequence == 0, receiver?.transfer != chunk.transfer {
            receiver = SnapshotReceiver(
                peer: peer, transfer: chunk.transfer, sink: SnapshotSink(bytesMax: limits.snapshotBytesMax),
                heardAt: now)
        }
        guard var current = receiver, current.transfer == chunk.transfer, current.peer == peer else {
            return decline(chunk, peer)
        }
        guard chunk.sequence == current.next else { return ask(current) }
        do throws(DecodeError) { try current.sink.add(chunk.data) } catch { return refuse(chunk, peer) }
        current.next += 1
        current.heardAt = now
        receiver = current
        ask(current)
        if let message = chunk.message { complete(current, message, isRepair: chunk.isRepair) }
    }

    private mutating func ask(_ receiver: SnapshotReceiver) {
        output.messages.append(
            Envelope(to: receiver.peer, .snapshotAnswer(transfer: receiver.transfer, next: receiver.next)))
    }

    private mutating func refuse(_ chunk: SnapshotChunk, _ peer: PeerID) {
        receiver = nil
        decline(chunk, peer)
    }

    /// What is being received from somebody else goes on.
    private mutating func decline(_ chunk: SnapshotChunk, _ peer: PeerID) {
        output.messages.append(Envelope(to: peer, .snapshotAnswer(transfer: chunk.transfer, next: nil)))
    }

    /// All pieces are here. Raft may still find that it does not need them.
    private mutating func complete(_ receiver: SnapshotReceiver, _ message: Message, isRepair: Bool) {
        self.receiver = nil
        guard case .installSnapshot(let metadata) = message.body, message.from == receiver.peer,
            !raft.isStranger(receiver.peer) || raft.leader == receiver.peer, let state = receiver.sink.finish(),
            state.counters.applied == metadata.id
        else { return }
        noteVersion(of: state)
        guard versions.fault == nil else { return }
        if isRepair {
            if isFenced, raft.replaceState(with: metadata) { staged = state }
            return
        }
        let before = raft.commitIndex
        staged = state
        raft.step(message)
        if before >= metadata.index || raft.compactIndex != metadata.index { staged = nil }
    }
}
