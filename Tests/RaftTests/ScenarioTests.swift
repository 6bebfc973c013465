// Scenarios as texts: Tests/RaftScenarios/*.txt hold commands (`> ...`) with the transcript under each. `UPDATE=1`
// rewrites them; read the difference before you commit it. Commands:
//   cluster N [learners a b | witness a] · tick P N · pass N (ticks for all) · campaign P · elect P (until it leads) · settle
//   trace · deliver N · propose P text [fence T] · read P n · transfer P [Q]
//   members P voters a b [learners c] [witness d] · byhand P · save P · crash P · restart P [mark I] [newborn] · cut P Q · isolate P · mend
//   sleep P N (its clock goes on for N ticks, and it is told) · rest N (the same of all, one by one) · lease P
//   checkpoint P · compact P I · lost P Q · truncate P I · drop · status · log P · set NAME N
//   oneway P Q · hold P Q · engaged P · open P Q (what was held stays so) · release P Q · flap P Q TIMES TICKS · join P [witness] · wipe P

import Glibc
import Raft
import Testing

private let folder = #filePath.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 } + "/RaftScenarios"
/// All that are there.
private let names: [String] = {
    guard let listing = opendir(folder) else { return [] }
    defer { closedir(listing) }
    var found: [String] = []
    while let entry = readdir(listing) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        if name.hasSuffix(".txt") { found.append(String(name.dropLast(4))) }
    }
    return found.sorted()
}()

@Test func `the scenarios are found`() { #expect(names.count > 40 && names.contains("figure-8"), "\(folder)") }

@Test(arguments: names)
func `a scenario goes as written`(_ name: String) throws {
    let path = "\(folder)/\(name).txt"
    let text = try #require(read(path), "no file \(path)")
    let result = play(text)
    if getenv("UPDATE") != nil { return write(result, to: path) }
    #expect(
        result == text, "differs; to see how: UPDATE=1 swift test --filter RaftTests && git diff Tests/RaftScenarios")
}

private func read(_ path: String) -> String? {
    guard let file = fopen(path, "r") else { return nil }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    while case let byte = getc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
    return String(decoding: bytes, as: UTF8.self)
}

private func write(_ text: String, to path: String) {
    guard let file = fopen(path, "w") else { return }
    fputs(text, file)
    fclose(file)
}

/// Runs the commands of a text; answers the text with fresh transcripts. Comments and blank lines stay.
private func play(_ text: String) -> String {
    var lab = Lab()
    var lines: [String] = []
    for line in text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init) {
        if line.isEmpty || line.hasPrefix("#") { lines.append(line) }
        guard line.hasPrefix("> ") else { continue }
        lines.append(line)
        lab.perform(line.dropFirst(2).split(separator: " ").map(String.init))
        lines += lab.output.map { "  " + $0 }
        lab.output = []
    }
    while lines.last == "" { lines.removeLast() }
    return lines.joined(separator: "\n") + "\n"
}

extension Lab {
    mutating func perform(_ words: [String]) {
        let peer = PeerID(number(words, 1)), other = PeerID(number(words, 2))
        switch words.first ?? "" {
        case "cluster": makeCluster(words)
        case "set": set(words)
        case "tick": for _ in 0..<number(words, 2) { tick(peer) }
        case "sleep": sleep(peer, Int64(clamping: number(words, 2)))
        case "rest": for _ in 0..<number(words, 1) { for id in peers.keys.sorted() { sleep(id, 1) } }
        case "lease": sayLease(peer)
        case "campaign": campaign(peer)
        case "settle": settle()
        case "pass": pass(number(words, 1))
        case "elect": elect(peer)
        case "deliver": traced { lab in for _ in 0..<lab.number(words, 1) { _ = lab.deliverOne() } }
        case "trace": traced { $0.settle() }
        case "propose": propose(words, peer)
        case "read": with(peer) { try $0.readIndex(ReadID(other.rawValue)) }
        case "transfer": with(peer) { try $0.transferLeadership(to: words.count > 2 ? other : nil) }
        case "members":
            let target = configuration(words)
            with(peer) { _ = try $0.proposeConfiguration(target) }
        case "engaged":
            say("\(peer) \(peers[peer]?.core?.isWitnessEngaged == true ? "counts" : "does not count") the witness")
        case "lost": with(peer) { $0.connectionLost(to: other) }
        case "checkpoint": checkpoint(peer)
        case "compact": compact(peer, LogIndex(number(words, 2)))
        case "log": printLog(peer)
        case "status": status()
        default: performFault(words, peer, other)
        }
    }

    func number(_ words: [String], _ position: Int) -> UInt64 {
        position < words.count ? UInt64(words[position]) ?? 0 : 0
    }

    /// A new one; nothing is left of the one before.
    private mutating func makeCluster(_ words: [String]) {
        let (said, tuned) = (output, settings)
        self = Lab()
        (output, settings) = (said, tuned)
        let voters = (1...max(1, number(words, 1))).map { PeerID($0) }
        let others = words.dropFirst(3).compactMap { UInt64($0).map { PeerID($0) } }
        let witness = words.count > 2 && words[2] == "witness" ? others.first : nil
        let learners = witness == nil ? others : []
        if let witness { witnesses.insert(witness) }
        for id in voters { add(id, Configuration(voters: voters, witness: witness)) }
        for id in learners { add(id, .empty) }
    }

    private mutating func set(_ words: [String]) {
        let value = Int(number(words, 2))
        switch words.count > 1 ? words[1] : "" {
        case "appendBytesMax": settings.appendBytesMax = value
        case "appendEntriesMax": settings.appendEntriesMax = value
        case "inflightBytesMax": settings.inflightBytesMax = value
        case "entryBytesMax": settings.entryBytesMax = value
        case "inflightMessagesMax": settings.inflightMessagesMax = value
        case "uncommittedBytesMax": settings.uncommittedBytesMax = value
        case "saveStallTicks": settings.saveStallTicks = value
        case "leaseReads":
            settings.leaseReads = value != 0
            settings.usesConnectionLossHint = value == 0
        case "promotionLagMax": settings.promotionLagMax = UInt64(value)
        default: say("UNKNOWN SETTING")
        }
    }

    private mutating func traced(_ body: (inout Lab) -> Void) {
        traces = true
        body(&self)
        traces = false
    }

    private mutating func campaign(_ peer: PeerID) {
        for _ in 0..<100 where peers[peer]?.core?.leadership.role == .follower { tick(peer) }
    }

    mutating func pass(_ ticks: UInt64) {
        for _ in 0..<ticks {
            for id in peers.keys.sorted() where peers[id]?.core != nil { tick(id) }
            settle()
        }
    }

    private mutating func elect(_ peer: PeerID) {
        campaign(peer)
        for _ in 0..<1000 where peers[peer]?.core?.isLeader == false { _ = deliverOne() }
    }

    private mutating func propose(_ words: [String], _ peer: PeerID) {
        let fence = words.firstIndex(of: "fence").map { Term(number(words, $0 + 1)) }
        let texts = words.dropFirst(2).prefix { $0 != "fence" }
        with(peer) { _ = try $0.propose(texts.map { Proposal(Array($0.utf8), fence: fence) }) }
    }

    private func configuration(_ words: [String]) -> Configuration {
        let witness = words.firstIndex(of: "witness")
        let marked = witness.map { PeerID(number(words, $0 + 1)) }
        let words = Array(words.prefix(witness ?? words.count))
        let split = words.firstIndex(of: "learners") ?? words.count
        func ids(_ list: ArraySlice<String>) -> [PeerID] { list.compactMap { UInt64($0).map { PeerID($0) } } }
        let learners = split < words.count ? ids(words[(split + 1)...]) : []
        return Configuration(voters: ids(words[3..<split]), learners: learners, witness: marked)
    }

    private mutating func checkpoint(_ id: PeerID) {
        guard let peer = peers[id] else { return }
        let members = peer.appliedConfiguration
        peers[id]?.snapshot = SnapshotMetadata(index: peer.applied, term: peer.appliedTerm, configuration: members)
        with(id) { $0.snapshotSaved(at: peer.applied) }
    }

    private mutating func compact(_ id: PeerID, _ index: LogIndex) {
        var reached = LogIndex.zero
        with(id) { reached = $0.compact(to: index) }
        guard let term = peers[id]?.core?.term(at: reached) else { return }
        peers[id]?.base = EntryID(index: reached, term: term)
        peers[id]?.entries.removeAll { $0.index <= reached }
        say("\(id) log begins after \(reached)")
    }

    private mutating func printLog(_ id: PeerID) {
        var entries: [String] = []
        peers[id]?.core?.forEachEntry(after: .zero) { entries.append(words($0)) }
        say("\(id) \(entries.joined(separator: " "))")
    }
}
