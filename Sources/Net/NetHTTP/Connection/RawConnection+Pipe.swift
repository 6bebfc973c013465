// Splicing two byte streams: what one receives the other sends, with back-pressure and half-close both ways. Used for
// kubectl's exec through the API server and for CONNECT. It must never buffer more than one read above the watermark.
import NIOCore

extension RawConnection {
    /// Forwards what this connection receives to `other`, its half-close too; when this one closes, so does `other`.
    package func forward(to other: RawConnection) {
        onInputClosed { other.shutdownOutput() }
        onClose { other.close() }
        onReceive { [weak self] bytes in
            other.send(bytes)
            guard let self, !other.isWritable else { return }
            self.pauseReading()
            other.onWritable { [weak self] in self?.resumeReading() }
        }
    }

    /// Joins two connections in both directions until both are closed.
    package func pipe(to other: RawConnection) {
        forward(to: other)
        other.forward(to: self)
    }
}
