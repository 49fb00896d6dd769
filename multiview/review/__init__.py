"""Verification of labels by a person: frames, verdicts, montages, requests; no file, no server.

The page (`multiview.stages.review_page`) and the folder of montages (`.review_folder`) are two
fronts of these functions and of one store of verdicts (`multiview.formats.verdict_store`).
"""
