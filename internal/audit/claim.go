package audit

import (
	"fmt"
	"time"

	"github.com/rekoncile/rekoncile/internal/config"
)

// ClaimState is how a project's claim stands against the evidence.
type ClaimState string

// The states of a claim.
const (
	ClaimSupported    ClaimState = "supported"
	ClaimNotSupported ClaimState = "not supported"
	ClaimUndetermined ClaimState = "cannot be determined"
)

// maxDeciding is how many files that decide on a claim are listed.
const maxDeciding = 20

// ClaimVerdict is a claim, held against the verdicts on the files that it is about.
type ClaimVerdict struct {
	Project     string     `json:"project"`
	PyPIProject string     `json:"pypi_project"` // "pypi/onnx"
	SLSABuild   BuildLevel `json:"slsa_build"`
	// SinceVersion and Since say from when on it is claimed; empty for every release.
	SinceVersion string    `json:"since_version,omitempty"`
	Since        time.Time `json:"since,omitzero"`
	Source       string    `json:"source"`

	State ClaimState `json:"state"`
	// Files counts the live files that the claim is about, by the answer of the evidence on each.
	Files map[SLSAAnswer]int `json:"files"`
	// Deciding are the first of the files that decide, where it is not supported: those that fail it, or else those of which it
	// is not known.
	Deciding []DecidingFile `json:"deciding,omitempty"`
}

// DecidingFile is a file that decides on a claim.
type DecidingFile struct {
	Release string     `json:"release"`
	File    string     `json:"file"`
	SHA256  string     `json:"sha256"`
	Build   BuildLevel `json:"slsa_build"`
	// Why is what the evidence says first.
	Why string `json:"why,omitempty"`
}

// ClaimedFile is a live file as far as claims need it; its verdict is nil where none is on record yet.
type ClaimedFile struct {
	Release, File, SHA256 string
	UploadedAt            time.Time
	SLSA                  *SLSAVerdict
}

// HoldClaim holds a project's claim against the verdicts on its live files, which each calls back with, in any order that is the
// same each time. The claim is supported if every file that it is about meets it; one that does not settles it, whatever is
// not known of the others.
func HoldClaim(project string, c config.Claim, each func(func(ClaimedFile) error) error) (ClaimVerdict, error) {
	v := ClaimVerdict{Project: project, PyPIProject: c.On.String(), SLSABuild: buildLevels()[c.SLSABuild], Source: c.Source, Files: map[SLSAAnswer]int{}}
	if c.Since != nil {
		v.SinceVersion, v.Since = c.Since.Version, c.Since.Uploaded
	}
	deciding := map[SLSAAnswer][]DecidingFile{}
	err := each(func(f ClaimedFile) error {
		if c.Since != nil && before(*c.Since, FileFacts{Version: f.Release, UploadedAt: f.UploadedAt}) {
			return nil
		}
		d := DecidingFile{Release: f.Release, File: f.File, SHA256: f.SHA256, Build: BuildUnevaluated, Why: "no audit has judged it yet"}
		answer := SLSANotEvaluated
		if f.SLSA != nil {
			answer, d.Build, d.Why = f.SLSA.Meets(c.SLSABuild), f.SLSA.Build, f.SLSA.first()
		}
		v.Files[answer]++
		if answer != SLSAMet && len(deciding[answer]) < maxDeciding {
			deciding[answer] = append(deciding[answer], d)
		}
		return nil
	})
	switch {
	case v.Files[SLSANotMet] > 0:
		v.State, v.Deciding = ClaimNotSupported, deciding[SLSANotMet]
	case v.Files[SLSANotEvaluated] > 0 || v.Files[SLSAMet] == 0: // no file shows nothing
		v.State, v.Deciding = ClaimUndetermined, deciding[SLSANotEvaluated]
	default:
		v.State = ClaimSupported
	}
	return v, err
}

// first is what is to be said first of a verdict: what is wrong, what was not read, or what it rests on.
func (v SLSAVerdict) first() string {
	switch {
	case v.Build.number() == 0 && len(v.Reasons) > 0:
		return v.Reasons[len(v.Reasons)-1]
	case len(v.Unread) > 0:
		return "not read: " + v.Unread[0]
	case len(v.Reasons) > 0:
		return v.Reasons[0]
	}
	return "no attestation of it says how it was built"
}

// String says how a claim stands, in words that claim no more than the evidence.
func (v ClaimVerdict) String() string {
	since := ""
	switch {
	case v.SinceVersion != "":
		since = " since " + v.SinceVersion
	case !v.Since.IsZero():
		since = " since " + v.Since.UTC().Format(time.DateOnly)
	}
	text := fmt.Sprintf("%s says that %s meets SLSA Build %s%s: %s", v.Source, v.PyPIProject, v.SLSABuild, since, v.State)
	met, failed, open := v.Files[SLSAMet], v.Files[SLSANotMet], v.Files[SLSANotEvaluated]
	switch v.State {
	case ClaimSupported:
		return text + fmt.Sprintf(": the evidence on %s is consistent with it", count(met, "file"))
	case ClaimNotSupported:
		return text + fmt.Sprintf(": the evidence on %s is not consistent with it, on %d it is, on %d it was not evaluated", count(failed, "file"), met, open)
	}
	if met+failed+open == 0 {
		return text + ": there is no file that it would be about"
	}
	return text + fmt.Sprintf(": the evidence on %s was not evaluated, on %d it is consistent with it", count(open, "file"), met)
}
