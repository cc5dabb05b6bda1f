package wire

// WriteFingerprint is what Fingerprint hashes.
var WriteFingerprint = fingerprint
