package relax

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"efcn/internal/folderlock"
)

// Shard is one of Count shares of the runs of a study. Several processes, on one
// machine or on several that have a file system in common, do a share each in one
// folder. Of the list of all runs (Settings.Runs) it has those at Index, Index +
// Count, and so on.
//
// Any of the processes may be killed and started again. A run that is embedded from a
// CNN waits for that where another process trains it, and trains it itself where none
// does. What the folder holds when all shares are done is what one process would have
// made.
type Shard struct {
	Index int // from 0
	Count int
}

func (s Shard) validate() error {
	if s.Count < 1 || s.Index < 0 || s.Index >= s.Count {
		return fmt.Errorf("shard %d, counted from 0, of %d: there is none", s.Index, s.Count)
	}
	return nil
}

// of returns the runs of a shard.
func (s Shard) of(all []Run) []Run {
	var own []Run
	for i := s.Index; i < len(all); i += s.Count {
		own = append(own, all[i])
	}
	return own
}

// claimName is the file in a run's folder that is locked by the process that does the
// run, from before it writes anything.
const claimName = ".efcn.claim"

// claim makes the folder of a run, and keeps other processes from doing the run.
func claim(path string) (release func() error, err error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	return folderlock.LockFile(path, claimName)
}

// runShard does the runs of the study's shard.
func (s *Study) runShard(ctx context.Context, dir string, settings *Settings) (*Folder, error) {
	err := s.alone(ctx, dir, func() error {
		if err := settings.adopt(dir, s.Options.Train.Notice); err != nil {
			return err
		}
		return s.measureGiven(ctx, dir, settings)
	})
	if err != nil {
		return nil, err
	}
	left := s.Shard.of(settings.Runs())
	s.pace = s.newPace(left)
	for wait := s.newWait("for runs that other processes are at"); len(left) > 0; {
		var later []Run
		for _, r := range left {
			result, err := s.take(ctx, dir, settings, r)
			if inUse(err) {
				later = append(later, r)
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.Path(), err)
			}
			s.ended(result)
		}
		if len(later) == len(left) {
			if err := wait(ctx); err != nil {
				return nil, err
			}
		} else {
			wait = s.newWait("for runs that other processes are at")
		}
		left = later
	}
	if err := s.alone(ctx, dir, func() error { return writeTables(dir) }); err != nil {
		return nil, err
	}
	return Read(dir)
}

// take does a run that is not finished, and before it the CNN that it begins with. The
// error is a *folderlock.InUseError where another process is at one of the two.
func (s *Study) take(ctx context.Context, dir string, settings *Settings, r Run) (*Result, error) {
	result, err := s.finished(dir, settings, r)
	if err != nil || result != nil {
		return result, err
	}
	if cnn := r.cnn(); s.Given == nil && r.Relax >= 0 {
		snapshot := filepath.Join(dir, filepath.FromSlash(cnn.Path()), snapshotName(r.Relax))
		if _, err := os.Stat(snapshot); err != nil {
			if _, err := s.take(ctx, dir, settings, cnn); err != nil {
				return nil, err
			}
		}
	}
	if result, err = s.do(ctx, dir, settings, r); err != nil {
		return nil, err
	}
	return result, s.alone(ctx, dir, func() error { return writeTables(dir) })
}

// alone calls do while no other process changes what all runs of a study share.
func (s *Study) alone(ctx context.Context, dir string, do func() error) (err error) {
	for wait := s.newWait(fmt.Sprintf("for another process, which is at work in %s", dir)); ; {
		release, err := folderlock.Lock(dir)
		if err == nil {
			return errors.Join(do(), release())
		}
		if errors.Is(err, errors.ErrUnsupported) {
			return fmt.Errorf("shards need a file system with locks: %w", err)
		}
		if !inUse(err) {
			return err
		}
		if err := wait(ctx); err != nil {
			return err
		}
	}
}

func inUse(err error) bool {
	var held *folderlock.InUseError
	return errors.As(err, &held)
}

// longest is how long a process waits before it looks again.
const longest = 10 * time.Second

// newWait returns a function that waits, longer from call to call, until ctx is cancelled.
// Before the first long wait it notes what for.
func (s *Study) newWait(what string) func(ctx context.Context) error {
	pause := 20 * time.Millisecond
	return func(ctx context.Context) error {
		if notice := s.Options.Train.Notice; notice != nil && pause > time.Second && pause < 2*time.Second {
			notice("waiting " + what)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
			pause = min(2*pause, longest)
			return nil
		}
	}
}
