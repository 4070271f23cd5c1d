package main

import (
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/audit"
	"github.com/rekoncile/rekoncile/internal/config"
	"github.com/rekoncile/rekoncile/internal/identity"
	"github.com/rekoncile/rekoncile/internal/pypi"
)

// verifyFlags are the flags of verify.
type verifyFlags struct {
	provenance   string
	trustedRoots []string
	key          string
	name         string
	index        string
	identity.Requirement
}

// verifyAnswer is the JSON of verify.
type verifyAnswer struct {
	Schema string `json:"schema"`
	File   string `json:"file,omitempty"`
	SHA256 string `json:"sha256"`
	// Source is where the attestations came from: a file, "stdin" or a URL.
	Source string `json:"source"`
	Kind   string `json:"kind"` // provenance, attestation, bundle
	audit.Inspection
}

func (a *app) verifyCommand(g *globals) *cobra.Command {
	flags := verifyFlags{}
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify one distribution file against its provenance",
		Long: `verify checks a distribution file against the provenance that its index serves, and judges who signed by the
configured policy of its project. FILE is a path, "-" for standard input, or "sha256:HEX" for a digest.

With --provenance and --trusted-root it needs no network. --provenance also takes a single PEP 740 attestation or a
Sigstore bundle. --repository, --workflow, --ref, --identity and --issuer stand in for a policy; without any, the answer
says whose signature it is, and that nobody judged that (exit code 3).

Exit codes: 0 good; 1 bad; 2 usage; 3 unknown: not judged, not supported, or not to be had.`,
		Args: exactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			answer, err := a.verify(c.Context(), g, flags, args[0])
			if err != nil {
				return err
			}
			if g.json {
				err = a.printJSON(answer)
			} else {
				a.printVerdict(answer)
			}
			switch {
			case err != nil:
				return err
			case answer.Verdict == audit.Bad:
				return &exitError{code: exitFindings}
			case answer.Verdict != audit.Good:
				return &exitError{code: exitUnknown}
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&flags.provenance, "provenance", "", "provenance document, attestation or bundle `FILE`, \"-\" for standard input; else the index is asked")
	f.StringArrayVar(&flags.trustedRoots, "trusted-root", nil, "trusted_root.json `FILE`, instead of the configuration's roots; may be repeated")
	f.StringVar(&flags.key, "key", "", "PEM public key `FILE` that signed the bundle, instead of a certificate")
	f.StringVar(&flags.name, "name", "", "the distribution's filename, where FILE does not tell it")
	f.StringVar(&flags.index, "index", "pypi", "`NAME` of the index that the file is from")
	f.StringVar(&flags.Repository, "repository", "", "expected repository, `OWNER/NAME`")
	f.StringVar(&flags.Workflow, "workflow", "", "expected workflow `FILE`, such as release.yml")
	f.StringVar(&flags.Ref, "ref", "", "expected source `REF`, such as refs/heads/main")
	f.StringVar(&flags.SAN, "identity", "", "expected certificate identity (`SAN`), whole")
	f.StringVar(&flags.Issuer, "issuer", "", "expected OIDC issuer `URL`, whole")
	return c
}

// verify carries the command out.
func (a *app) verify(ctx context.Context, g *globals, flags verifyFlags, file string) (*verifyAnswer, error) {
	if file == "-" && flags.provenance == "-" {
		return nil, usage("only one of FILE and --provenance can be standard input")
	}
	cfg, err := g.loadConfig()
	if err != nil {
		return nil, err
	}
	artifact, err := a.artifact(file, flags.name)
	if err != nil {
		return nil, err
	}
	verifier, err := a.offlineVerifier(ctx, g, cfg, flags.trustedRoots)
	if err != nil {
		return nil, err
	}
	answer := &verifyAnswer{Schema: "verify/1", File: artifact.Name, SHA256: artifact.SHA256}
	served := servedFile{uploadedAt: a.clock.Now()}
	if flags.provenance != "" {
		served.provenance, served.source, err = a.readProvenance(flags.provenance)
	} else {
		served, err = a.askIndex(ctx, g, cfg, flags.index, artifact)
	}
	answer.Source = served.source
	var differs *differsError
	switch {
	case errors.As(err, &differs):
		answer.Inspection = audit.Inspection{Verdict: audit.Bad, Reasons: []string{differs.Error()}, Attestations: []audit.InspectedIdentity{}}
		return answer, nil
	case err != nil:
		return nil, err
	}
	return answer, a.inspect(cfg, flags, verifier, artifact, served, answer)
}

// inspect verifies the attestations and has their identities judged by whoever is there to judge.
func (a *app) inspect(cfg *config.Config, flags verifyFlags, v *audit.Verifier, artifact attest.Artifact, served servedFile, answer *verifyAnswer) error {
	raw := served.provenance
	doc := &audit.DocumentFacts{}
	whole := true
	if raw != nil {
		var err error
		if answer.Kind, err = attest.Sniff(raw); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%s: %w", answer.Source, err)}
		}
		key, err := readKey(flags.key)
		if err != nil {
			return err
		}
		whole = answer.Kind == attest.KindProvenance
		if key != nil && whole {
			return usage("--key is for bundles; a provenance document is signed with certificates")
		}
		if whole {
			verified := v.Document(raw, artifact.Name, artifact.SHA256)
			doc.Problem = verified.Problem
			for _, at := range verified.Attestations {
				doc.Attestations = append(doc.Attestations, at.Facts)
			}
		} else {
			doc.Attestations = append(doc.Attestations, v.Signature(answer.Kind, raw, key, artifact).Facts)
		}
	}
	if doc.Problem != "" {
		answer.Inspection = audit.Inspection{Verdict: audit.Bad, Reasons: []string{doc.Problem}, Attestations: []audit.InspectedIdentity{}}
		return nil
	}
	judge, project, version, ok := a.judgeFor(cfg, flags.index, artifact.Name)
	if !ok || !flags.Requirement.Empty() || flags.key != "" {
		answer.Inspection = audit.InspectFor(doc, flags.Requirement, flags.key != "")
		return nil
	}
	state := audit.ProvenanceServed
	if raw == nil {
		state, doc = audit.ProvenanceNone, nil
	}
	answer.Inspection = judge.Inspect(project, audit.FileFacts{Filename: artifact.Name, SHA256: artifact.SHA256, Version: version,
		FirstSeen: epoch, UploadedAt: served.uploadedAt, Provenance: audit.ProvenanceFacts{State: state, Document: doc}}, whole)
	return nil
}

// judgeFor finds the policy of the project that a distribution belongs to.
func (a *app) judgeFor(cfg *config.Config, index, filename string) (*audit.Judge, audit.ProjectFacts, string, bool) {
	name, err := pypi.ParseFilename(filename)
	if err != nil {
		return nil, audit.ProjectFacts{}, "", false
	}
	for _, project := range cfg.Projects {
		for _, on := range project.PyPI {
			if on.Index == index && on.Name == name.Project {
				facts := audit.ProjectFacts{Project: project.Name, Index: on.Index, Name: on.Name}
				return &audit.Judge{Policy: project.Policy, Rules: audit.NewRuleSet(nil), Now: a.clock.Now()}, facts, name.Version, true
			}
		}
	}
	return nil, audit.ProjectFacts{}, "", false
}

// offlineVerifier makes the verifier over the roots given, or the configuration's.
func (a *app) offlineVerifier(ctx context.Context, g *globals, cfg *config.Config, files []string) (*audit.Verifier, error) {
	logger, err := a.logger(g)
	if err != nil {
		return nil, err
	}
	if len(files) > 0 {
		cfg.Trust = nil
		for _, f := range files {
			cfg.Trust = append(cfg.Trust, config.TrustSource{TrustedRoot: f})
		}
	}
	client := a.client(cfg, logger)
	defer client.Close()
	set, err := a.roots(ctx, cfg, client, logger)
	if err != nil && len(files) > 0 {
		return nil, &exitError{exitUsage, err}
	}
	if err != nil {
		return nil, err
	}
	verifier, err := a.attestVerifier(set)
	if err != nil {
		return nil, err
	}
	return audit.NewVerifier(verifier, set.Digest()), nil
}

var digestArgument = regexp.MustCompile(`^sha256:([0-9a-f]{64})$`)

// artifact reads what is to be verified: every digest that a bundle may be over.
func (a *app) artifact(file, name string) (attest.Artifact, error) {
	if m := digestArgument.FindStringSubmatch(file); m != nil {
		return attest.Artifact{Name: name, SHA256: m[1]}, nil
	}
	var r io.Reader = a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return attest.Artifact{}, &exitError{exitUsage, fmt.Errorf("reading the file: %w", err)}
		}
		defer f.Close()
		r = f
		if name == "" {
			name = filepath.Base(file)
		}
	}
	h256, h384, h512 := sha256.New(), sha512.New384(), sha512.New()
	if _, err := io.Copy(io.MultiWriter(h256, h384, h512), r); err != nil {
		return attest.Artifact{}, &exitError{exitUsage, fmt.Errorf("reading the file: %w", err)}
	}
	return attest.Artifact{Name: name, SHA256: hex.EncodeToString(h256.Sum(nil)),
		SHA384: hex.EncodeToString(h384.Sum(nil)), SHA512: hex.EncodeToString(h512.Sum(nil))}, nil
}

// readProvenance reads the attestations from a file or standard input.
func (a *app) readProvenance(path string) ([]byte, string, error) {
	const most = 32 << 20
	r, source := a.stdin, "stdin"
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, "", &exitError{exitUsage, fmt.Errorf("--provenance: %w", err)}
		}
		defer f.Close()
		r, source = f, path
	}
	raw, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return nil, "", &exitError{exitUsage, fmt.Errorf("--provenance: reading %s: %w", source, err)}
	}
	if len(raw) > most {
		return nil, "", usage("--provenance: %s is larger than %d bytes", source, most)
	}
	return raw, source, nil
}

// differsError says that a file is not the one that the index lists.
type differsError struct{ name, got, listed string }

func (e *differsError) Error() string {
	return fmt.Sprintf("digest-mismatch: %s is sha256:%s, the index lists sha256:%s", e.name, e.got, e.listed)
}

// servedFile is what an index serves about a file.
type servedFile struct {
	provenance []byte // nil for none
	source     string
	uploadedAt time.Time
}

// askIndex asks the index for a file and its provenance.
func (a *app) askIndex(ctx context.Context, g *globals, cfg *config.Config, indexName string, artifact attest.Artifact) (servedFile, error) {
	var none servedFile
	index, ok := cfg.Index(indexName)
	if !ok {
		return none, usage("--index %q: the configuration has no such index", indexName)
	}
	if artifact.Name == "" {
		return none, usage("the file's name is not known: give --name, or the attestations with --provenance")
	}
	name, err := pypi.ParseFilename(artifact.Name)
	if err != nil {
		return none, usage("%w; give the distribution's name with --name, or the attestations with --provenance", err)
	}
	logger, err := a.logger(g)
	if err != nil {
		return none, err
	}
	client := a.client(cfg, logger)
	defer client.Close()
	ask := pypi.NewClient(client)
	listing, err := ask.Listing(ctx, pypi.Index{URL: index.URL}, name.Project, "", 0)
	if err != nil {
		return none, err
	}
	for _, f := range listing.Files {
		if f.Filename != artifact.Name {
			continue
		}
		if f.SHA256 != artifact.SHA256 {
			return none, &differsError{f.Filename, artifact.SHA256, f.SHA256}
		}
		if f.ProvenanceURL == "" {
			return servedFile{nil, index.URL + "/simple/" + name.Project + "/", f.UploadedAt}, nil
		}
		answer, err := ask.Provenance(ctx, pypi.Index{URL: index.URL}, f.ProvenanceURL, "")
		if err != nil {
			return none, err
		}
		if answer.State == pypi.ProvenanceForbidden {
			return none, fmt.Errorf("the index refuses to serve %s (403)", f.ProvenanceURL)
		}
		return servedFile{answer.Body, f.ProvenanceURL, f.UploadedAt}, nil
	}
	return none, fmt.Errorf("%s lists no file %s", index.URL, artifact.Name)
}

// readKey reads a PEM public key; nil for no file.
func readKey(path string) (crypto.PublicKey, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--key: %w", err)}
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("--key: %w", err)}
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, usage("--key %s: it is not PEM", path)
	}
	var key crypto.PublicKey
	if strings.HasPrefix(block.Type, "RSA") {
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	} else {
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	}
	if err != nil {
		return nil, usage("--key %s: %w", path, err)
	}
	return key, nil
}
