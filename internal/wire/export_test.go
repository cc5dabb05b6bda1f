package wire

// AppendHeaders appends what Fingerprint hashes of headers.
var AppendHeaders = appendHeaders
