package audit

import (
	"slices"
	"time"
)

// Rule identifiers, as they appear in findings, in the configuration and in docs/rules.md.
const (
	NoProvenance           = "no-provenance"
	InvalidAttestation     = "invalid-attestation"
	DigestMismatch         = "digest-mismatch"
	UnexpectedIdentity     = "unexpected-identity"
	WrongGrade             = "wrong-grade"
	PublisherMismatch      = "publisher-mismatch"
	PredicateMismatch      = "predicate-mismatch"
	MissingSLSAProvenance  = "missing-slsa-provenance"
	UnloggedAttestation    = "unlogged-attestation"
	NotInPublicLog         = "not-in-public-log"
	ProvenanceRemoved      = "provenance-removed"
	ProvenanceReplaced     = "provenance-replaced"
	FileReplaced           = "file-replaced"
	FileRemoved            = "file-removed"
	ReleaseYanked          = "release-yanked"
	ProjectQuarantined     = "project-quarantined"
	OwnershipChanged       = "ownership-changed"
	RepositoryIDMismatch   = "repository-id-mismatch"
	SourceUnreachable      = "source-unreachable"
	CoverageGap            = "coverage-gap"
	RunMismatch            = "run-mismatch"
	UnloggedCertificate    = "unlogged-certificate"
	UnaccountedCertificate = "unaccounted-certificate"
	UnaccountedEntry       = "unaccounted-entry"
	UnchainedCertificate   = "unchained-certificate"
	LookalikeIdentity      = "lookalike-identity"
	ForeignSignature       = "foreign-signature"
	UnreadableEntry        = "unreadable-entry"
	BadCheckpoint          = "bad-checkpoint"
	LogRollback            = "log-rollback"
	LogFork                = "log-fork"
	EntriesMismatch        = "entries-mismatch"
	SplitView              = "split-view"
	FrozenLogGrew          = "frozen-log-grew"
	StaleLog               = "stale-log"
	Backlog                = "backlog"
	MissedCanary           = "missed-canary"
	TrustRootExpiring      = "trust-root-expiring"
	DeliveryFailing        = "delivery-failing"
)

// Rule is one thing that the reconciliation looks for.
type Rule struct {
	ID string
	// About is the subject's kind: "file", "release", "project" or "monitor".
	About string
	// Severity is the default; the configuration may set another.
	Severity Severity
	// Grace is how long the condition may hold before it is a finding.
	Grace time.Duration
	// Sentence says what the rule means, for people.
	Sentence string
	// Advice says what to do about a finding.
	Advice string
}

// Rules lists every rule that this version judges, in the order of docs/rules.md.
func Rules() []Rule {
	return []Rule{
		{NoProvenance, "file", High, 2 * time.Hour,
			"A published file carries no attestation although the project promises one.",
			"Find out who uploaded the file and how. If it was uploaded by hand, yank it and publish the release again through the release workflow; if nobody knows, treat the project's PyPI credentials as stolen."},
		{InvalidAttestation, "file", Critical, 0,
			"An attestation served with a file does not verify.",
			"Do not trust the file. Compare its bytes with a build of your own, yank it, and report to security@pypi.org if PyPI accepted what does not verify."},
		{DigestMismatch, "file", Critical, 0,
			"An attestation served with a file, or the file that the index hands out, is about other bytes than the index lists.",
			"Do not install the file. Yank the release, keep both copies as evidence, and report to security@pypi.org."},
		{UnexpectedIdentity, "file, entry or certificate", Critical, 0,
			"Something was signed in the project's name, or a certificate was issued for it, by an identity that the policy does not know.",
			"Find out what ran under that identity (the run's link is in the evidence). If it is legitimate, add a grade for it; if not, yank the file and treat the publishing credentials as stolen."},
		{WrongGrade, "file", Critical, 0,
			"A valid attestation of a file was made by the project itself, but for another purpose than publishing this file.",
			"The file was signed by a workflow run that must not publish here (a CI build, a pull request, another branch). Find out how it came to be uploaded, yank it, and publish it again from the release job. Note that `gh attestation verify --owner` accepts such a file."},
		{PublisherMismatch, "file", Medium, 0,
			"The index's own record of the publisher disagrees with the signing certificate.",
			"The publisher record is the index's unsigned claim. Compare it with the trusted publishers configured for the project, and tell the index's operators if they cannot explain it."},
		{PredicateMismatch, "file", High, 0,
			"An attestation's predicate is not of an expected type or shape, or contradicts the certificate that signed it.",
			"Whoever can run the workflow chose the predicate's content. Find out which step wrote it, and do not rely on what it claims."},
		{MissingSLSAProvenance, "file", Medium, 2 * time.Hour,
			"A published file has no valid SLSA provenance although the project promises it.",
			"Check the attest step of the release workflow; attest the file's digest again from the same run if the project's policy allows it."},
		{UnloggedAttestation, "file or entry", High, 0,
			"An attestation is in no transparency log, or its log has another entry, or none, where the attestation says that it is.",
			"A signature that nobody logged cannot be monitored. Publish the file again with a client that logs, and ask the index why it was accepted. Where the log has something else than it promised, keep the record and tell the log's operators."},
		{NotInPublicLog, "file", Medium, 0,
			"An attestation of a public repository was signed by GitHub's own Sigstore instance, which has no public log.",
			"Nobody can monitor what is in no log. GitHub signs so for repositories that are private, or that it could not tell to be public: look at the run, and attest again. Do not count it as evidence that others can find."},
		{ProvenanceRemoved, "file", High, time.Hour,
			"The index, or GitHub's store, served provenance for a file and no longer does, while the file is still there.",
			"Ask the index's operators why: maintainers cannot remove provenance there on their own. From GitHub's store the repository's administrators can: ask them. The last copy is kept in the record."},
		{ProvenanceReplaced, "file", High, 0,
			"The index serves other provenance for a file than it did before.",
			"Compare the two documents (both are kept in the record) and ask the index's operators what changed."},
		{FileReplaced, "file", Critical, 0,
			"A filename now stands for other bytes than before.",
			"Indexes promise that this cannot happen. Do not install the file, keep both digests, and report to security@pypi.org at once."},
		{FileRemoved, "file", High, 0,
			"A published file is gone from the index.",
			"If the project removed it on purpose, acknowledge the finding; if not, look at the project's security history on the index and at who holds its credentials."},
		{ReleaseYanked, "release", Info, 0,
			"A release is yanked.",
			"Nothing, if the project yanked it. The reason that the index gives is in the finding."},
		{ProjectQuarantined, "project", High, 0,
			"The index's administrators quarantined the project.",
			"Its files are hidden until the administrators release it. Contact them."},
		{OwnershipChanged, "project", Medium, 0,
			"The project's owners or maintainers on the index changed.",
			"Confirm that the change was intended; if nobody knows of it, treat the account that made it as stolen."},
		{RepositoryIDMismatch, "project", High, 0,
			"The repository that bears the configured name, or that certificates were issued for, has another numeric id or owner than the configuration says. Where nobody has confirmed the configured ids, it is low.",
			"Compare https://api.github.com/repos/OWNER/NAME with the configuration. If the ids there were never confirmed, correct them; if they were, the repository was deleted and its name taken over, or it was transferred: trust nothing that was signed since."},
		{RunMismatch, "certificate or run", High, time.Hour,
			"A certificate names a workflow run that GitHub does not have, though it is young enough to be there, or that had another commit, event or workflow.",
			"Find out who deleted the run (the organization's audit log has it), and what it signed. If nobody did, somebody got a certificate for a run that there never was: tell GitHub's and Sigstore's security teams."},
		{UnloggedCertificate, "certificate", High, 24 * time.Hour,
			"A certificate that signed a log entry or an attestation is not in the certificate transparency log that promised to include it, or carries no such promise.",
			"Whoever watches certificates cannot have seen this one. Keep the record, which has the certificate, its promise and the tree head that lacks it; tell the operators of the certificate authority and of the log, and find out who used the certificate. The grace period is the log's merge delay."},
		{UnaccountedCertificate, "certificate", Medium, 24 * time.Hour,
			"A certificate was issued in the project's own name, and no log entry and no attestation is known that it made. Of a grade that publishes nothing it is one severity less urgent.",
			"Look at the run (its link is in the evidence). A job that failed or was cancelled before it signed explains it; if it signed, find out what, and where that is: a signature which no log has is one that nobody can monitor. The evidence says which logs were looked at, and which were not."},
		{UnaccountedEntry, "entry", High, 24 * time.Hour,
			"A job that may publish, or an identity in the project's own name that no grade knows, signed log entries that nothing published accounts for: no attestation of a file names them, and they sign no file and no statement about files that is known. Where nothing of what the job signed was published it is one severity less urgent, and information where GitHub says that the run was cancelled or failed.",
			"Look at the run (its link is in the evidence), and find out what it signed. A job that failed or was cancelled between signing and uploading explains it; if none did, somebody signed with the project's identity what nobody was to see."},
		{UnchainedCertificate, "entry", Low, 0,
			"A log entry claims a watched name with a certificate that chains to no trusted authority.",
			"Anyone can make such an entry: it proves nothing about the project. Look at it if there are many."},
		{LookalikeIdentity, "entry or certificate", Low, 0,
			"A certificate was issued for an identity that resembles a watched name.",
			"Look at whose it is. It is not the project's, and signs nothing that verifiers of the project accept."},
		{ForeignSignature, "entry", Low, 0,
			"Somebody else than the project signed one of its files, or a statement about one, and logged it. Where that was before the file was published it is one severity more urgent.",
			"Anyone may sign what anyone can download, and verifiers of the project do not accept it. Look at whose it is where a file was signed before it was published: who did so had it before."},
		{UnreadableEntry, "entry", Medium, 0,
			"A log entry mentions a watched name and cannot be decoded.",
			"Look at the leaf in the evidence, and for a newer version of the monitor."},
		{BadCheckpoint, "log", High, 0,
			"A log served a checkpoint that its key did not sign, or another log's, or shards that cannot be those of before; or it signed a tree that it does not list, and a bundle carries that tree's checkpoint.",
			"Compare with what others get from the log; a proxy in between, a new key that the trusted root does not have yet, or an attack."},
		{LogRollback, "log", Critical, 0,
			"A log served a smaller tree that is no prefix of one that it signed before.",
			"Keep the record: both signed checkpoints are in it. Tell the log's operators and the Sigstore community."},
		{LogFork, "log", Critical, 0,
			"A log signed two trees that contradict each other.",
			"Keep the record: both signed checkpoints are in it, and a proof that fits only one. Tell the log's operators and the Sigstore community."},
		{EntriesMismatch, "log", Critical, 0,
			"A log's entries do not hash to the root that it signed: an entry is missing, altered, duplicated or out of place.",
			"Nothing beyond the last proven index is believed. If it stays so, tell the log's operators; the evidence has the checkpoint and the entries."},
		{SplitView, "log", Critical, 0,
			"A log signed a tree for somebody else that contradicts the tree which it shows: a bundle carries that other tree's checkpoint.",
			"Keep the record: both signed checkpoints are in it, and a proof that fits only one. Do not trust the files whose bundles carry it. Tell the log's operators and the Sigstore community."},
		{FrozenLogGrew, "log", High, 0,
			"A log grew after the trusted root said that it was frozen.",
			"Ask the log's operators who still writes to it."},
		{StaleLog, "log", Medium, 24 * time.Hour,
			"A log has shown no newer tree for longer than its grace period.",
			"Look at the log's status page. Until it moves, what was logged since is unknown."},
		{SourceUnreachable, "monitor", Medium, 6 * time.Hour,
			"A source could not be read for longer than its grace period: what it would say is unknown.",
			"Look at the error in the evidence, at the machine's network and at the service's status page. Until it answers, nothing is known about what it covers."},
		{CoverageGap, "monitor", Medium, 6 * time.Hour,
			"Something that was found cannot be judged by this version: it is neither good nor bad.",
			"Look at the evidence by other means, and look for a newer version of the monitor."},
		{Backlog, "monitor", Medium, 6 * time.Hour,
			"A log is not read as fast as it grows, or what was to be read of it waits: what it took meanwhile is unknown.",
			"Give the monitor more time, or the log's host a larger budget; or take the log up at its head, and have the past said to be not looked at. `monitor status` says how far each log was read."},
		{MissedCanary, "monitor", Info, 0,
			"Something that the configuration expects from time to time, such as a weekly build, did not happen when it was due.",
			"Look at the workflow's runs. A run that was cancelled explains it; if runs succeed and nothing of them is seen, find out what the monitor does not see. If the schedule changed, change expect in the configuration."},
		{TrustRootExpiring, "monitor", Medium, 24 * time.Hour,
			"A trusted root that is in use is near its end: the metadata that vouches for it expires within three days, or the last of its authorities or logs of a kind within thirty.",
			"See whether its source can be reached, and what its operators say. A trusted_root.json has to be replaced by hand. Once it has ended, what is signed by newer keys cannot be verified."},
		{DeliveryFailing, "monitor", High, time.Hour,
			"A channel has not taken alerts for longer than its grace period. The other channels are told.",
			"Look at the error in the evidence: a revoked token or webhook is to be replaced, a channel that was archived to be named anew. Nothing is lost: what is pending is delivered once the channel works. Check it with `monitor notify test`."},
	}
}

// RuleIDs lists the identifiers of Rules.
func RuleIDs() []string {
	var ids []string
	for _, r := range Rules() {
		ids = append(ids, r.ID)
	}
	return ids
}

// Setting is what the configuration changes of a rule.
type Setting struct {
	Severity Severity // "" keeps the default
	Grace    *time.Duration
}

// RuleSet is the rules with the configuration's settings applied.
type RuleSet map[string]Rule

// NewRuleSet applies settings, keyed by rule id, to the rules' defaults. Unknown ids are ignored: config
// has refused them.
func NewRuleSet(settings map[string]Setting) RuleSet {
	set := RuleSet{}
	for _, r := range Rules() {
		if s, ok := settings[r.ID]; ok {
			if s.Severity != "" {
				r.Severity = s.Severity
			}
			if s.Grace != nil {
				r.Grace = *s.Grace
			}
		}
		set[r.ID] = r
	}
	return set
}

// Known reports whether id names a rule of this version.
func Known(id string) bool { return slices.Contains(RuleIDs(), id) }
