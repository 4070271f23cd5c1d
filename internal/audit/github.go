package audit

import (
	"context"
	"time"

	"github.com/rekoncile/rekoncile/internal/github"
)

// GitHub is what the audit asks of GitHub; *github.Client is one.
type GitHub interface {
	Attestations(ctx context.Context, repository, sha256 string) ([]github.Attestation, error)
	Repository(ctx context.Context, name string) (github.Repository, error)
}

// StoreState is what a repository's attestation store says of a file.
type StoreState string

// The states of a file in the store. It is "" while the store has not answered.
const (
	StoreNone   StoreState = "none"   // it has no attestation of the file's digest
	StoreServed StoreState = "served" // it has some
)

// StoreFacts is what the record holds of a file in GitHub's attestation store.
type StoreFacts struct {
	State StoreState
	// Since is when State began, CheckedAt when the store last answered.
	Since, CheckedAt time.Time
	// FailingSince and Failure describe requests that failed since the last answer.
	FailingSince time.Time
	Failure      string
	// Bundles are those that are about the file, ordered by their digests: listed for it, or met with another file that they
	// are about too.
	Bundles []BundleFacts
}

// BundleFacts is one bundle of the store and what verifying it for a file gave.
type BundleFacts struct {
	SHA256 string
	// FirstSeen is when it was first known to be about the file. Listed says that the store listed it for the file, LastSeen
	// when it last did, GoneAt when an answer first lacked it since.
	FirstSeen, LastSeen, GoneAt time.Time
	Listed                      bool
	VerifiedWith                string
	Attestation                 AttestationFacts
}

// RepositoryFacts is what the record holds of a repository on GitHub.
type RepositoryFacts struct {
	// Name is the configuration's; Current is the one that it has now, "" while GitHub has not answered.
	Name, Current string
	// ID and OwnerID are decimal; Visibility is "public", "private" or "internal".
	ID, OwnerID, Visibility string
	// Since is when GitHub first said so, CheckedAt when it last did, DueAt when it is to be asked again.
	Since, CheckedAt, DueAt time.Time
	FailingSince            time.Time
	Failure                 string
}

// GitHubStore is the record as reading GitHub uses it.
type GitHubStore interface {
	// Repository returns what is known of a repository; only its Name is set where that is nothing.
	Repository(ctx context.Context, name string) (RepositoryFacts, error)
	// SaveRepository stores what GitHub says of a repository, RepositoryFailed that it did not answer; both say when it is due
	// again.
	SaveRepository(ctx context.Context, now time.Time, name string, r github.Repository, due time.Time) error
	RepositoryFailed(ctx context.Context, now time.Time, name, problem string, due time.Time) error

	// DueInStore lists live files of a project that a repository's store is due to be asked for: those first for which it has
	// not answered yet, and of these the newest. CountDueInStore counts them.
	DueInStore(ctx context.Context, now time.Time, projectID int64, repository string, limit int) ([]FileFacts, error)
	CountDueInStore(ctx context.Context, now time.Time, projectID int64, repository string) (int, error)
	// SaveStored stores an answer about a file, with what verifying it gave.
	SaveStored(ctx context.Context, now time.Time, fileID int64, u StoreUpdate) error
	// StoreFailed notes that the store did not answer as it should.
	StoreFailed(ctx context.Context, now time.Time, fileID int64, u StoreUpdate, problem string) error
	// UnverifiedBundles lists bundles beside files of a project that they are about, in the order of files and bundles, after
	// the given ones, whose facts come from other trusted roots or rules than the given ones or are missing.
	UnverifiedBundles(ctx context.Context, projectID int64, verifiedWith string, afterFile, afterBundle int64, limit int) ([]StoredDocument, error)
	// SaveBundleVerification replaces what verifying a bundle for a file gave. The document's ID is the bundle's.
	SaveBundleVerification(ctx context.Context, now time.Time, d StoredDocument, v Verification) error
}

// StoreUpdate is one answer of a repository's store about a file.
type StoreUpdate struct {
	Repository string
	State      StoreState
	Bundles    []StoreBundle
	// Due is when the store is to be asked again.
	Due time.Time
}

// StoreBundle is one bundle of an answer.
type StoreBundle struct {
	Body         []byte
	RepositoryID int64
	// Digests are the SHA-256 digests that its statement is about, in lower-case hex.
	Digests []string
	Verification
}
