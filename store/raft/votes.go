package raft

import (
	"time"

	hraft "github.com/hashicorp/raft"
)

// votes asks the others for their votes. hashicorp/raft refuses candidates that are not, or do not vote, in the configuration that
// the voter knows. One that has not been told yet of a server that was added would refuse it for ever, while that one, whose log is
// longer, refuses it in turn: nobody could be elected when the leader dies in such a moment. Raft itself has servers vote for
// whoever's log is not behind theirs, whatever they know of who votes (chapter 4 of its dissertation).
type votes struct{ Carrier }

// A voter is asked for a pre-vote so often, that far apart: it may be the next one in turn, and is not to be asked when it stands itself.
const (
	preVoteTries = 3
	preVotePause = failoverTurn * 3 / 2
)

// Carrier carries Raft's messages between servers.
type Carrier interface {
	hraft.Transport
	hraft.WithPreVote
	hraft.WithClose
}

// RequestVote implements hraft.Transport. It does not say by which ID to look for the candidate, as the first versions of hashicorp/raft
// did not, and as voters still allow; the vote is for its address.
func (v votes) RequestVote(id hraft.ServerID, target hraft.ServerAddress, args *hraft.RequestVoteRequest, resp *hraft.RequestVoteResponse) error {
	anonymous := *args
	anonymous.ID = nil
	return v.Carrier.RequestVote(id, target, &anonymous, resp)
}

// RequestPreVote implements hraft.WithPreVote. A voter looks for the ID in any case: where it does not take the candidate's, it is asked
// again with one that it knows, its own. One that refuses because it has heard of the leader last may soon find out that this
// one is gone: it is asked again then, as hashicorp/raft does only after an election timeout.
func (v votes) RequestPreVote(id hraft.ServerID, target hraft.ServerAddress, args *hraft.RequestPreVoteRequest, resp *hraft.RequestPreVoteResponse) error {
	own := *args
	own.ID = []byte(id)
	for again := range preVoteTries {
		if again > 0 {
			time.Sleep(preVotePause)
		}
		for _, ask := range []*hraft.RequestPreVoteRequest{args, &own} {
			*resp = hraft.RequestPreVoteResponse{}
			if err := v.Carrier.RequestPreVote(id, target, ask, resp); err != nil || resp.Granted {
				return err
			}
		}
	}
	return nil
}
