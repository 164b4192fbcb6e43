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
	var dataDir string
	cmd := &cobra.Command{
		Use:   "backup FILE|-",
		Short: "Write the state of the cluster to a file",
		Long: `Write the state of the cluster, all objects at one moment, to a file, or to standard output (-).

It has the Secrets in plain text: the file is made for its owner alone. It does not have the images and volumes,
nor the cluster's CA and the node's key: copy <data-dir>/identity too.

With --data-dir the state is that of a node that is stopped and is the only server of its cluster.`,
		Example: "  covey backup /mnt/usb/covey.backup\n  covey backup - | ssh backup 'cat > covey.backup'\n  covey backup --data-dir /var/lib/covey /mnt/usb/covey.backup",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("data-dir") {
				return saveBackup(cmd, args[0], func(w io.Writer) error { return backupDir(cmd, dataDir, w) })
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			return saveBackup(cmd, args[0], s.backup)
		},
	}
	base.addFlags(cmd.Flags())
	cmd.Flags().StringVar(&dataDir, "data-dir", "", "the data directory of a node that is stopped")
	return cmd
}

func (s *session) backup(w io.Writer) error {
	resp, err := s.Stream(s.ctx(), client.Request{Path: node.BackupPath})
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(w, resp.Body)
	return err
}

func backupDir(cmd *cobra.Command, dataDir string, w io.Writer) error {
	dir, err := directory("data-dir", dataDir)
	if err != nil {
		return err
	}
	return node.BackupDir(cmd.Context(), dir, w, errorLog(cmd))
}

func errorLog(cmd *cobra.Command) *slog.Logger {
	return slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: slog.LevelError}))
}

// saveBackup writes a backup to a file, or to standard output.
func saveBackup(cmd *cobra.Command, file string, write func(io.Writer) error) (err error) {
	if file == "-" {
		return write(cmd.OutOrStdout())
	}
	place, special, err := destination(file)
	switch {
	case err != nil:
		return fmt.Errorf("write the backup: %w", err)
	case special:
		return writeTo(file, write)
	}
	// The file appears when it is whole.
	tmp, err := os.CreateTemp(filepath.Dir(place), filepath.Base(place)+".part*") // mode 0600
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp.Name())
		}
	}()
	if err := write(tmp); err != nil {
		return errors.Join(err, tmp.Close())
	}
	size, err := tmp.Seek(0, io.SeekCurrent)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	if err := os.Rename(tmp.Name(), place); err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Saved the state in %s (%s)\n", file, byteText(size))
	return nil
}

// destination is the file itself where links lead to it. One that is special, such as a device or a pipe, is to be written to, not replaced.
func destination(file string) (place string, special bool, err error) {
	info, err := os.Stat(file)
	if err == nil && !info.Mode().IsRegular() {
		return file, true, nil
	}
	if _, err := os.Lstat(file); err != nil {
		return file, false, nil // there is nothing yet
	}
	place, err = filepath.EvalSymlinks(file)
	if !errors.Is(err, os.ErrNotExist) {
		return place, false, err
	}
	// The link leads to what is yet to come.
	target, err := os.Readlink(file)
	if err != nil {
		return "", false, err
	}
	if filepath.IsAbs(target) {
		return destination(target)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return "", false, err
	}
	return destination(filepath.Join(dir, target))
}

// writeTo writes a backup to a file that is there. Nothing is said then: it may be the standard output.
func writeTo(file string, write func(io.Writer) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("write the backup: %w", err)
	}
	return errors.Join(write(f), f.Close())
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
			if cmd.Flags().Changed("data-dir") {
				return restoreDir(cmd.Context(), cmd, dataDir, in)
			}
			s, err := base.open(cmd)
			if err != nil {
				return err
			}
			if err := s.restore(in); err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			return nil
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
	dir, err := directory("data-dir", dataDir)
	if err != nil {
		return err
	}
	kept, err := node.RestoreDir(ctx, dir, backup, errorLog(cmd))
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Restored the state in %s\n", dir)
	if kept != "" {
		fmt.Fprintf(cmd.OutOrStdout(), "What was there before is in %s; remove it when it is no longer needed\n", kept)
	}
	return nil
}
