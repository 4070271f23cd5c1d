package attest

// Limits on input, checked before anything is decoded or as soon as it can be counted. All are far above what is seen:
// a large real bundle has 30 kB, two log entries and proofs of 32 hashes.
const (
	maxBundleBytes     = 32 << 20
	maxProvenanceBytes = 16 << 20
	maxStatementBytes  = 16 << 20
	maxEntryBodyBytes  = 4 << 20
	maxTimestampBytes  = 32 << 10
	// A certificate as long as allowed has an RSA key whose verification takes tens of milliseconds, not seconds.
	maxCertBytes      = 16 << 10
	maxSignatureBytes = 16 << 10

	maxEntries     = 32 // also sigstore-go's
	maxTimestamps  = 32 // also sigstore-go's
	maxProofHashes = 64
	maxSignatures  = 16
	maxSubjects    = 1024 // also sigstore-go's
	maxDigests     = 32   // of one subject; also sigstore-go's

	maxProvenanceBundles = 32
	maxAttestations      = 32 // of one publisher
)
