"""Files of CVs and JDs → their text, with the page and the place of each line. Ours.

`reading` is the door: `read_file`, `read_files`, `read_bytes` and `page_picture`. It decides by the
first bytes what a file is (`kinds`); plain text is read at once, and every other kind by a child
process (`child`) with limits on time and memory. The formats are in `pdf` (with `layout` for the
reading order and `visibility` for hidden text), `word`, `web` and `rtf`; only this folder imports
their libraries.
"""
