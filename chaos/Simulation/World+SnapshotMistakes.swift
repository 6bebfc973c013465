// Ways to get a snapshot wrong, done to its pieces on their way.

import KVCore
import Raft

extension World {
    func mistaken(_ envelope: Envelope) -> Envelope {
        guard let planted, case .snapshotChunk(var chunk) = envelope.message else { return envelope }
        switch planted {
        case .sendsNoLeases: chunk.data = without(3, chunk.data)
        case .sendsNoSessions: chunk.data = without(4, chunk.data)
        default: return envelope
        }
        return Envelope(to: envelope.to, .snapshotChunk(chunk))
    }

    /// As `SnapshotSink` reads it.
    private func without(_ unwanted: UInt8, _ piece: [UInt8]) -> [UInt8] {
        var reader = ByteReader(piece)
        var kept: [UInt8] = []
        do throws(DecodeError) {
            while !reader.isAtEnd {
                let start = piece.count - reader.remaining, kind = try reader.byte()
                switch kind {
                case 1: _ = try reader.stateCounters()
                case 2: _ = try reader.record()
                case 3: _ = try reader.lease()
                case 4: _ = try reader.session()
                case 5: _ = try reader.member()
                case 6: _ = try reader.revisionEvents()
                default: _ = try reader.byte()
                }
                if kind != unwanted { kept += piece[start..<(piece.count - reader.remaining)] }
            }
        } catch {
            return piece
        }
        return kept
    }
}
