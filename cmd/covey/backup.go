package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"covey.dev/covey/api/client"
	"covey.dev/covey/node"
)

func newBackupCommand(base *options) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write the state of the cluster to a file",
		Long: `Write the state of the cluster, all objects at one moment, to a file, or to standard output (-).

It has the Secrets in plain text: the file is made for its owner alone. It does not have the images and volumes,
nor the cluster's CA and the node's key: copy <data-dir>/identity too.`,
		Example: "  covey backup /mnt/usb/covey.backup\n  covey backup - | ssh backup 'cat > covey.backup'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return s.backup(args[0])
		},
	}
	base.addFlags(cmd.Flags())
	return cmd
}

func (s *session) backup(file string) (err error) {
	resp, err := s.Stream(s.ctx(), client.Request{Path: node.BackupPath})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if file == "-" {
		_, err := io.Copy(s.cmd.OutOrStdout(), resp.Body)
		return err
	}
	// The file appears when it is whole.
	tmp, err := os.CreateTemp(filepath.Dir(file), filepath.Base(file)+".part*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	n, err := io.Copy(tmp, resp.Body)
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	s.say("Saved the state in %s (%s)", file, byteText(n))
	return nil
}

func newRestoreCommand(base *options) *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "restore FILE|-",
		Short: "Make the state of the cluster what it was at a backup",
		Long: `Make the state of the cluster what it was at a backup.

Without --data-dir a running cluster restores itself: what differs is written, what came later is deleted, and
pods follow. Nodes and events stay as they are.

With --data-dir the state of a stopped node is replaced; the old one stays beside it. This is the way out when the
state is damaged. The node is then the only server of its cluster, and others join it anew.`,
		Example: "  covey restore /mnt/usb/covey.backup\n  covey restore --data-dir /var/lib/covey /mnt/usb/covey.backup",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := openInput(cmd, args[0])
			if err != nil {
				return err
			}
			defer func() { _ = in.Close() }()
			if dataDir != "" {
				return restoreDir(cmd.Context(), cmd, dataDir, in)
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return s.restore(in)
		},
	}
	base.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "the data directory of a node that is stopped")
	return cmd
}

func openInput(cmd *cobra.Command, file string) (io.ReadCloser, error) {
	if file == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	return os.Open(file)
}

func (s *session) restore(backup io.Reader) error {
	resp, err := s.Stream(s.ctx(), client.Request{
		Method: http.MethodPost, Path: node.RestorePath, ContentType: "application/octet-stream", Body: backup,
	})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	var done struct{ Created, Replaced, Deleted int }
	if err := json.NewDecoder(resp.Body).Decode(&done); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	s.say("Restored: %d objects created, %d replaced, %d deleted", done.Created, done.Replaced, done.Deleted)
	return nil
}

func restoreDir(ctx context.Context, cmd *cobra.Command, dataDir string, backup io.Reader) error {
	dir, err := filepath.Abs(dataDir)
	if err != nil {
		return fmt.Errorf("--data-dir: %w", err)
	}
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
	kept, err := node.RestoreDir(ctx, dir, backup, log)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Restored the state in %s\n", dir)
	if kept != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "What was there before is in %s; remove it when it is no longer needed\n", kept)
	}
	return nil
}
