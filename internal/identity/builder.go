package identity

// Builder is a workflow that the operator trusts to build, and up to which level of SLSA's Build track: a row of the
// root-of-trust table (SLSA v1.2, "Verifying artifacts", step 1). That its builds are isolated from each other and from
// the signing key is in no certificate: somebody has to say so.
type Builder struct {
	// ID is the workflow with the tag or commit that it is pinned to, as certificates and builder.id have it:
	// https://github.com/OWNER/NAME/.github/workflows/FILE@REF.
	ID string
	// Level is the highest that is believed of it: 1 to 3.
	Level int
}

// Builder is the row of the root-of-trust table whose workflow signed, at the very ref that it is pinned to, and whether
// there is one. Signer and row are compared as parsed: a SAN may have escapes.
func (p Policy) Builder(id Identity) (Builder, bool) {
	if len(p.Builders) == 0 || id.SANType != SANTypeURI {
		return Builder{}, false
	}
	signer, err := ParseWorkflowURI(id.SAN)
	if err != nil {
		return Builder{}, false
	}
	for _, b := range p.Builders {
		if pinned, err := ParseWorkflowURI(b.ID); err == nil && pinned == signer {
			return b, true
		}
	}
	return Builder{}, false
}

// Reused reports whether the workflow that signed is another one than the top-level workflow of the run: one that the run
// called, and whose steps its caller does not write. Where the certificate does not name the top-level workflow it is false.
func (id Identity) Reused() bool {
	top, err := ParseWorkflowURI(id.BuildConfigURI)
	if err != nil {
		return false
	}
	signer, err := ParseWorkflowURI(id.SAN)
	return err == nil && (!sameRepository(signer.Repository, top.Repository) || signer.Path != top.Path)
}
