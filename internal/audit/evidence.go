package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sigstore/sigstore-go/pkg/root"

	"github.com/rekoncile/rekoncile/internal/attest"
	"github.com/rekoncile/rekoncile/internal/trust"
)

// Names of files in a folder of evidence. All names are made of these, of numbers and of digests: nothing in them was chosen by
// whoever named a file or asked for a certificate.
const (
	manifestName    = "MANIFEST"
	readmeName      = "README.md"
	dossierName     = "dossier.json"
	explanationName = "explanation.json"
	policyName      = "policy.yaml"
	authoritiesName = "authorities.pem"
)

// evidenceSchema is the version of a folder's form.
const evidenceSchema = "evidence/1"

// Folder is what one explanation rests on, as a folder of files holds it: enough to make the explanation again with no network
// and no record, and in forms that other people's tools read.
type Folder struct {
	// MadeBy is the version of the program.
	MadeBy  string
	Dossier Dossier
	// Policy is a configuration with the projects that the dossier concerns, whose trust is in the folder's trusted roots.
	Policy []byte
	Roots  []TrustedRoot
	// Documents are by their hex SHA-256, Leaves by their leaf hash.
	Documents map[string][]byte
	Leaves    map[string]KeptLeaf
	// Explanation is the answer that was given, as JSON.
	Explanation []byte
}

// KeptLeaf is a log's leaf, with its proof where it was found by name.
type KeptLeaf struct {
	Body  []byte
	Proof *EntryProof
}

// dossierFile is the form of dossier.json.
type dossierFile struct {
	Schema string `json:"schema"`
	MadeBy string `json:"made_by"`
	Dossier
	Roots     []keptRoot             `json:"trusted_roots"`
	Documents []string               `json:"documents_sha256"`
	Leaves    map[string]*EntryProof `json:"leaf_proofs"` // null where there is none
}

type keptRoot struct {
	SHA256 string `json:"sha256"`
	Source string `json:"source"`
}

func rootName(i int) string        { return fmt.Sprintf("trusted_root-%d.json", i+1) }
func leafName(hash string) string  { return "leaf-" + hash[:min(len(hash), 16)] + ".bin" }
func attestationName(i int) string { return fmt.Sprintf("attestation-%d", i+1) }
func certificateFile(i int) string { return fmt.Sprintf("certificate-%d.pem", i+1) }
func entryName(i, k int) string    { return fmt.Sprintf("entry-%d-%d", i+1, k+1) }

// documentName names a document by its digest: a bundle of GitHub's store, or what an index served.
func (d Dossier) documentName(sha string) string {
	short := sha[:min(len(sha), 16)]
	if d.isBundle(sha) {
		return "bundle-" + short + ".sigstore.json"
	}
	return "provenance-" + short + ".json"
}

// isBundle reports whether a document is a Sigstore bundle, and no provenance document.
func (d Dossier) isBundle(sha string) bool {
	if d.Finding != nil && slices.ContainsFunc(d.Finding.Evidence, func(e Evidence) bool { return e.Kind == "bundle" && e.SHA256 == sha }) {
		return true
	}
	return slices.ContainsFunc(d.Files, func(f ExplainedFile) bool {
		return f.Store != nil && slices.ContainsFunc(f.Store.Bundles, func(b ExplainedBundle) bool { return b.SHA256 == sha })
	})
}

// Files are the folder's files by name, the manifest too. They follow from the folder alone.
func (f *Folder) Files() (map[string][]byte, error) {
	files := map[string][]byte{policyName: f.Policy, explanationName: f.Explanation}
	form := dossierFile{Schema: evidenceSchema, MadeBy: f.MadeBy, Dossier: f.Dossier, Roots: []keptRoot{}, Documents: slices.Sorted(maps.Keys(f.Documents)), Leaves: map[string]*EntryProof{}}
	for i, r := range f.Roots {
		files[rootName(i)] = r.Body
		form.Roots = append(form.Roots, keptRoot{r.SHA256, r.Source})
	}
	for sha, body := range f.Documents {
		files[f.Dossier.documentName(sha)] = body
	}
	for hash, leaf := range f.Leaves {
		files[leafName(hash)], form.Leaves[hash] = leaf.Body, leaf.Proof
	}
	text, err := json.MarshalIndent(form, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing a dossier: %w", err)
	}
	files[dossierName] = append(text, '\n')
	if files[authoritiesName], err = f.authorities(); err != nil {
		return nil, err
	}
	for i, l := range f.Dossier.Leaves {
		if len(l.Checkpoint) > 0 {
			files[fmt.Sprintf("checkpoint-%d.txt", i+1)] = l.Checkpoint
		}
	}
	var apart []takenApart
	for _, sha := range form.Documents {
		apart = f.takeApart(apart, sha)
	}
	for i, a := range apart {
		if err := a.files(i, files); err != nil {
			return nil, err
		}
	}
	files[readmeName] = f.readme(apart)
	files[manifestName] = manifest(files)
	return files, nil
}

// takenApart is an attestation of a document, in the order of the documents' digests.
type takenApart struct {
	*attest.Parts
	document string
}

// takeApart appends the attestations of a document. What cannot be read is in the document, and its verification says why.
func (f *Folder) takeApart(all []takenApart, sha string) []takenApart {
	body := f.Documents[sha]
	if f.Dossier.isBundle(sha) {
		if parts, err := attest.TakeApartBundle(body); err == nil {
			all = append(all, takenApart{parts, sha})
		}
		return all
	}
	doc, err := attest.ParseProvenance(body)
	if err != nil {
		return all
	}
	for _, b := range doc.Bundles {
		for _, raw := range b.Attestations {
			if parts, err := attest.TakeApart(raw); err == nil {
				all = append(all, takenApart{parts, sha})
			}
		}
	}
	return all
}

// files adds the files of the i-th attestation.
func (a takenApart) files(i int, files map[string][]byte) error {
	name := attestationName(i)
	files[name+".sigstore.json"] = a.Bundle
	files[name+".statement.json"] = a.Statement
	files[name+".pae"] = a.PAE
	files[name+".sig"] = a.Signature
	files[certificateFile(i)] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate})
	for k, e := range a.Entries {
		files[entryName(i, k)+".leaf"] = e.Body
		files[entryName(i, k)+".checkpoint"] = []byte(e.Checkpoint)
		proof, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			return fmt.Errorf("writing a proof: %w", err)
		}
		files[entryName(i, k)+".proof.json"] = append(proof, '\n')
	}
	return nil
}

// authorities are the certificate authorities of the trusted roots, for tools that know none.
func (f *Folder) authorities() ([]byte, error) {
	var out bytes.Buffer
	seen := map[string]bool{}
	for _, r := range f.Roots {
		parsed, err := trust.FromJSON(r.Source, r.Body)
		if err != nil {
			return nil, fmt.Errorf("trusted root %s: %w", r.SHA256, err)
		}
		for _, authority := range parsed.Material.FulcioCertificateAuthorities() {
			ca, ok := authority.(*root.FulcioCertificateAuthority)
			if !ok {
				continue
			}
			for _, cert := range append(slices.Clone(ca.Intermediates), ca.Root) {
				if cert == nil || seen[string(cert.Raw)] {
					continue
				}
				seen[string(cert.Raw)] = true
				if err := pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}); err != nil {
					return nil, err
				}
			}
		}
	}
	return out.Bytes(), nil
}

// manifest lists the digests of all other files, as `sha256sum --check` reads it.
func manifest(files map[string][]byte) []byte {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if name == manifestName {
			continue
		}
		sum := sha256.Sum256(files[name])
		fmt.Fprintf(&out, "%s  %s\n", hex.EncodeToString(sum[:]), name)
	}
	return []byte(out.String())
}

// TrustedRootFile is the name of a folder's i-th trusted root, from 0.
func TrustedRootFile(i int) string { return rootName(i) }

// Projects are the names of the configured projects, and the index projects as "INDEX/NAME", that a dossier concerns.
func (d Dossier) Projects() map[string]bool {
	all := map[string]bool{}
	if d.Finding != nil && d.Finding.Project != "" {
		all[d.Finding.Project] = true
	}
	for _, f := range d.Files {
		all[f.Index+"/"+f.PyPIProject] = true
	}
	for _, l := range d.Leaves {
		for _, project := range l.Certificates {
			all[project] = true
		}
	}
	return all
}

// Keep is an archive that keeps in the folder what is taken out of another.
func (f *Folder) Keep(from Archive) Archive {
	f.Documents, f.Leaves = map[string][]byte{}, map[string]KeptLeaf{}
	kept := from
	kept.Document = func(sha256 string) ([]byte, error) {
		body, err := from.Document(sha256)
		if body != nil && err == nil {
			f.Documents[sha256] = body
		}
		return body, err
	}
	kept.Leaf = func(hash string) ([]byte, error) {
		body, err := from.Leaf(hash)
		if body != nil && err == nil {
			f.Leaves[hash] = KeptLeaf{body, f.Leaves[hash].Proof}
		}
		return body, err
	}
	kept.Proof = func(hash string) (*EntryProof, error) {
		proof, err := from.Proof(hash)
		if leaf, ok := f.Leaves[hash]; ok && err == nil {
			f.Leaves[hash] = KeptLeaf{leaf.Body, proof}
		}
		return proof, err
	}
	return kept
}

// Archive is an archive of the folder's own, with the keys of another.
func (f *Folder) Archive(keys Archive) Archive {
	keys.Document = func(sha256 string) ([]byte, error) { return f.Documents[sha256], nil }
	keys.Leaf = func(hash string) ([]byte, error) { return f.Leaves[hash].Body, nil }
	keys.Proof = func(hash string) (*EntryProof, error) { return f.Leaves[hash].Proof, nil }
	return keys
}
