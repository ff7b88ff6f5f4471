"""Jobs that go on from checkpoints: how their programs are asked to write one."""
