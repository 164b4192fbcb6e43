package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"covey.dev/covey/node/identity"
	"covey.dev/covey/store"
	"covey.dev/covey/store/protocol"
)

const (
	// protocolFile in the data directory holds the protocol version that the cluster has agreed on, as far as this node has heard; there is
	// none where that is the first. It is looked at before anything else in the directory is.
	protocolFile = "protocol"
	// protocolAnnotation on a Node object says which protocol versions its node speaks, or did when it ran last.
	protocolAnnotation = "covey.dev/protocol"
)

// ProtocolRange is which versions of the protocol between nodes a covey speaks.
type ProtocolRange = protocol.Range

// Protocol is which this covey speaks.
func Protocol() ProtocolRange { return protocol.Spoken() }

// checkProtocol refuses a data directory whose cluster has agreed on what this covey does not speak.
func checkProtocol(dataDir string) error {
	if !identity.Exists(filepath.Join(dataDir, "identity")) {
		return setProtocol(dataDir, protocol.Spoken().Oldest) // what a cluster that begins here speaks at least
	}
	agreed, err := readProtocol(dataDir)
	if err != nil {
		return err
	}
	if err := protocol.Spoken().Check(agreed); err != nil {
		return fmt.Errorf("%w. Nothing in %s was changed", err, dataDir)
	}
	return nil
}

func readProtocol(dataDir string) (int, error) {
	text, err := readFile(dataDir, protocolFile)
	if err != nil {
		return 0, fmt.Errorf("read which protocol version the cluster has agreed on: %w", err)
	}
	if text == "" {
		return protocol.First.Newest, nil
	}
	agreed, err := strconv.Atoi(strings.TrimSpace(text))
	if err != nil {
		return 0, fmt.Errorf("read which protocol version the cluster has agreed on in %s: %w", filepath.Join(dataDir, protocolFile), err)
	}
	return agreed, nil
}

// noteProtocol remembers what the cluster has agreed on, which never falls.
func noteProtocol(dataDir string, agreed int) error {
	known, err := readProtocol(dataDir)
	if err != nil || agreed <= known {
		return err
	}
	return setProtocol(dataDir, agreed)
}

func setProtocol(dataDir string, agreed int) error {
	file := filepath.Join(dataDir, protocolFile)
	err := writeFile(file, strconv.Itoa(agreed)+"\n")
	if agreed == protocol.First.Newest {
		err = os.Remove(file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("write which protocol version the cluster has agreed on: %w", err)
	}
	return nil
}

// remembered returns the error with which a node ended; what the cluster speaks is remembered if that was why.
func remembered(dataDir string, err error) error {
	var mismatch *protocol.Mismatch
	if !errors.As(err, &mismatch) {
		return err
	}
	return errors.Join(err, noteProtocol(dataDir, mismatch.Version))
}

// followProtocol remembers what the cluster agrees on, and ends the node when that is not what this covey speaks.
func (n *base) followProtocol(ctx context.Context, state state) error {
	return follow(ctx, state, func(snap *store.Snapshot) (time.Duration, error) {
		if err := protocol.Spoken().Check(max(snap.Agreed(), protocol.Spoken().Oldest)); err != nil {
			return 0, err
		}
		if err := noteProtocol(n.cfg.DataDir, snap.Agreed()); err != nil {
			n.log.Warn("a covey that is too old for the cluster would be stopped late by this node's data directory", "error", err)
		}
		return 0, nil
	}, store.ProtocolTable)
}

// keepProtocol has the cluster agree on the highest protocol version that all its nodes speak, those that are away too.
func (n *node) keepProtocol(ctx context.Context) error {
	return n.whileNodesChange(ctx, "the nodes' protocol version was not raised", func(ctx context.Context) (time.Duration, error) {
		agreed, speakers := n.store.Snapshot().Agreed(), n.speakers()
		next := protocol.Agree(agreed, spokenBy(speakers))
		switch {
		case next != agreed:
		case slices.ContainsFunc(speakers, func(s speaker) bool { return s.Gone }):
			return memberRetry, nil // nothing tells of changes in Raft
		default:
			return 0, nil
		}
		n.log.Info("all nodes speak a newer protocol version, and go on in that", "from", agreed, "to", next)
		return 0, n.store.Agree(ctx, next)
	})
}
