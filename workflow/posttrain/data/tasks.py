"""Tasks of reasoning-gym: what is asked of a model, where the right answer is known."""

from typing import Any

from posttrain.words import did_you_mean

# The tasks of reasoning-gym 0.1.25 that know a right answer from the answer alone, and take any text for one. Others
# ask for what the puzzle was, break on prose, or evaluate what they are given, which is to run what a model says.
# fmt: off
TASKS = (
    "ab", "acre", "aiw", "arc_1d", "base_conversion", "basic_arithmetic", "bf", "binary_alternation",
    "caesar_cipher", "chain_sum", "circuit_logic", "codeio", "color_cube_rotation", "count_bits", "count_primes",
    "course_schedule", "decimal_arithmetic", "decimal_chain_sum", "dice", "emoji_mystery", "family_relationships",
    "figlet_font", "game_of_life", "game_of_life_halting", "gcd", "gsm_symbolic", "isomorphic_strings",
    "knights_knaves", "largest_island", "lcm", "leg_counting", "letter_counting", "letter_jumble", "list_functions",
    "mahjong_puzzle", "manipulate_matrix", "maze", "modulo_grid", "needle_haystack", "number_filtering",
    "number_sequence", "path_star", "polynomial_equations", "pool_matrix", "power_function", "products",
    "ransom_note", "rectangle_count", "rotate_matrix", "rotten_oranges", "self_reference", "sentence_reordering",
    "simple_equations", "simple_geometry", "spell_backward", "string_manipulation", "string_splitting",
    "string_synthesis", "syllogism", "tsumego", "word_sequence_reversal", "zebra_puzzles",
)
# fmt: on


def wrong_task(args: dict[str, Any]) -> tuple[tuple, str] | None:
    """The argument that names no such task, and why."""
    if (task := args["task"]) in TASKS:
        return None
    said = f"{task!r} is none of the tasks that posttrain.data.tasks lists"
    return ("task",), f"{said}. {did_you_mean(task, list(TASKS))}"
