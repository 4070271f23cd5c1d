package audit

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rekoncile/rekoncile/internal/identity"
)

// readme tells a stranger what the folder has, and how to check it with other people's tools. Text from outside is made safe for
// a page, and for the shell that the commands are meant for.
func (f *Folder) readme(apart []takenApart) []byte {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Evidence")
	p("")
	if d := f.Dossier.Finding; d != nil {
		p("Of the finding `%s`, rule `%s`:", d.ID, d.Rule)
		p("")
		p("    %s", oneLine(d.Summary, 1000))
		p("")
	}
	for _, file := range f.Dossier.Files {
		p("About this file, which the index %s lists in %s:", file.Index, file.PyPIProject)
		p("")
		p("    %s  %s", file.SHA256, oneLine(file.File, 300))
		p("")
	}
	for _, leaf := range f.Dossier.Leaves {
		p("About entry %d (global %d) of the log `%s`, leaf hash %s.", leaf.Index, leaf.GlobalIndex, strings.ReplaceAll(oneLine(leaf.Origin, 120), "`", "'"), leaf.LeafHash)
		p("")
	}
	p("Whoever gave you this folder can have made all of it but the signatures. What the signatures say, you can check yourself, as")
	p("below. What was asked of servers (what an index listed, that a log has an entry) is its maker's word; where it is, the")
	p("explanation says `recorded`. Compare the trusted roots with those that you have: everything else stands on them.")
	p("")
	p("## All of it at once")
	p("")
	p("With the program that made it, without any network; exit code 0 says that everything in here is as it was written, and that what")
	p("can be computed gives what `%s` says:", explanationName)
	p("")
	p("    sha256sum --check %s", manifestName)
	p("    monitor explain --from .")
	p("    monitor explain --from . --trusted-root YOUR_trusted_root.json")
	p("")
	p("## What is in it")
	p("")
	p("- `%s`: what was found, each link of the chain with its checks. `%s`: what it was made from.", explanationName, dossierName)
	p("- `%s`: who may sign, as the explanation judges it. `trusted_root-N.json`, `%s`: whom it trusts.", policyName, authoritiesName)
	p("- `provenance-….json`: provenance documents as the index served them (PEP 740); `bundle-….sigstore.json`: Sigstore bundles as")
	p("  GitHub's attestation store has them.")
	p("- `leaf-….bin`: leaves of logs, byte for byte; `checkpoint-N.txt`: what the log of the N-th signed, after all of it was read.")
	p("  Where `%s` has no proof of such a leaf, that it is in the tree of that checkpoint is its maker's word: who doubts it asks", dossierName)
	p("  the log for an inclusion proof of its hash.")
	p("- `attestation-N.*`: the attestations of these documents in order: as a Sigstore bundle, what was signed (`.statement.json`, and")
	p("  `.pae` as it is signed) and the signature. `certificate-N.pem`: who signed. `entry-N-K.*`: the log's entry, the proof that")
	p("  it is in there, and the signed checkpoint of the tree.")
	p("- `%s`: the digests of all files.", manifestName)
	for i, a := range apart {
		f.describe(p, i, a)
	}
	for _, hash := range slices.Sorted(maps.Keys(f.Leaves)) {
		p("")
		p("The hash of `%s` is %s:", leafName(hash), hash)
		p("")
		p("    (printf '\\000'; cat %s) | sha256sum", leafName(hash))
	}
	return []byte(b.String())
}

// describe tells how to check the i-th attestation.
func (f *Folder) describe(p func(string, ...any), i int, a takenApart) {
	name := attestationName(i)
	p("")
	p("## Attestation %d", i+1)
	p("")
	p("Of `%s`. FILE is the file that it is about, under its own name.", f.Dossier.documentName(a.document))
	p("")
	cert, err := x509.ParseCertificate(a.Certificate)
	var id identity.Identity
	if err == nil {
		id, err = identity.FromCertificate(cert)
	}
	if err != nil {
		p("Its certificate cannot be read, so that nothing can be said of who signed:")
		p("")
		p("    %s", oneLine(err.Error(), 300))
		return
	}
	p("With other people's tools, as their documentation has it; versions differ:")
	p("")
	san, issuer := shellWord(oneLine(id.SAN, 1000)), shellWord(oneLine(id.Issuer, 300))
	p("    cosign verify-blob-attestation --bundle %s.sigstore.json --new-bundle-format --trusted-root %s \\", name, rootName(0))
	p("      --certificate-identity %s --certificate-oidc-issuer %s --type %s FILE", san, issuer, shellWord(oneLine(a.PredicateType, 300)))
	p("    python -m sigstore verify identity --bundle %s.sigstore.json --cert-identity %s --cert-oidc-issuer %s FILE", name, san, issuer)
	if repository := id.Repository(); repository != "" && id.Issuer == identity.GitHubActionsIssuer && !f.Dossier.isBundle(a.document) {
		p("    pypi-attestations verify pypi --repository https://github.com/%s --provenance-file %s FILE", repository, f.Dossier.documentName(a.document))
	}
	for _, command := range gitHubAccepts(id, a.PredicateType, "FILE") {
		p("    %s --bundle %s.sigstore.json", command, name)
		p("")
		p("The last one looks at the owner alone: any workflow, branch and trigger of any of its repositories will do.")
	}
	p("")
	p("By hand, with OpenSSL:")
	p("")
	p("    openssl x509 -in %s -noout -pubkey > key.pem", certificateFile(i))
	p("    openssl dgst -sha256 -verify key.pem -signature %s.sig %s.pae", name, name)
	p("    openssl verify -attime %d -CAfile %s %s", cert.NotBefore.Unix(), authoritiesName, certificateFile(i))
	p("    sha256sum FILE    # as in the subject of %s.statement.json", name)
	for k, e := range a.Entries {
		p("    (printf '\\000'; cat %s.leaf) | sha256sum    # leaf %d of a tree of %d, see %s.proof.json", entryName(i, k), e.TreeIndex, e.TreeSize, entryName(i, k))
	}
}
