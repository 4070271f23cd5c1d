package identity

// Lasting is the identity without what differs from run to run: the run, and the commits that were built. [Policy.Judge] says the
// same of both, so that one judgement holds for all runs of a job. Commits that contradict each other are kept, since that is
// judged.
func (id Identity) Lasting() Identity {
	id.RunInvocationURI = ""
	id.BuildSignerDigest, id.BuildConfigDigest = "", ""
	if id.SourceRepositoryDigest == "" || id.GitHubWorkflowSHA == "" || id.SourceRepositoryDigest == id.GitHubWorkflowSHA {
		id.SourceRepositoryDigest, id.GitHubWorkflowSHA = "", ""
	}
	return id
}
