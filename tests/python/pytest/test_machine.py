"""What people's own tests of a device look like, with the generated client of the simulated board."""

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from io import BytesIO
from pathlib import Path

import pytest
from jumpstarter.client.core import DriverError
from jumpstarter_driver_composite.client import CompositeClient
from jumpstarter_driver_x.client import MachineClient
from jumpstarter_driver_x.machine import ImageInfo, MachineState, Phase
from jumpstarter_testing import JumpstarterTest
from pydantic import ValidationError

IMAGE = Path(__file__).parents[3] / "examples" / "hello.board"


class TestMachine(JumpstarterTest):
    @pytest.fixture
    def board(self, client: CompositeClient) -> Iterator[CompositeClient]:
        board = client.board
        assert isinstance(board, CompositeClient)
        board.power.off()
        yield board
        board.power.off()

    @pytest.fixture
    def machine(self, board: CompositeClient) -> MachineClient:
        machine = board.machine
        assert isinstance(machine, MachineClient)
        return machine

    def test_without_supply_it_is_off(self, machine: MachineClient) -> None:
        assert machine.state() == MachineState(phase=Phase.OFF, starts=0, image=None)

    def test_a_flashed_image_runs_to_its_prompt(
        self, board: CompositeClient, machine: MachineClient
    ) -> None:
        board.storage.flash(str(IMAGE))
        board.power.on()
        state = machine.wait_for(Phase.PROMPT, timedelta(seconds=20))
        content = IMAGE.read_bytes()
        image = ImageInfo(size=len(content), sha256=hashlib.sha256(content).hexdigest())
        assert state == MachineState(phase=Phase.PROMPT, starts=1, image=image)

    def test_changes_arrive_as_they_happen(
        self, board: CompositeClient, machine: MachineClient
    ) -> None:
        states = machine.watch(2)
        assert next(states).phase is Phase.OFF
        board.power.on()
        assert next(states).phase is not Phase.OFF
        assert list(states) == []

    def test_the_log_can_be_saved(
        self, board: CompositeClient, machine: MachineClient, tmp_path: Path
    ) -> None:
        board.power.on()
        machine.wait_for(Phase.PROMPT)
        file, memory = tmp_path / "log", BytesIO()
        machine.save_log(file)
        machine.save_log(memory)
        assert file.read_bytes() == memory.getvalue()
        assert memory.getvalue().startswith(b"Boot ROM of simulated board\r\n")

    def test_what_does_not_happen_is_an_error(self, machine: MachineClient) -> None:
        with pytest.raises(DriverError, match="not in phase panicked after 20ms, but in off"):
            machine.wait_for(Phase.PANICKED, timedelta(milliseconds=20))

    def test_a_wrong_argument_never_leaves_this_process(self, machine: MachineClient) -> None:
        with pytest.raises(ValidationError, match="greater than or equal to 0"):
            machine.watch(-1)
