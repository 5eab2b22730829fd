"""Words of dates in many languages: months, seasons, "until now", what joins two dates. Ours.

A table of ours, and no library: CVs have spellings that locale data lack (`sept`, `fevrier`,
`Mrz`), and words of one language that are ordinary words of another have to be told apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

MONTHS = {
    "English": "january jan, february feb, march mar, april apr, may, june jun, july jul, "
    "august aug, september sept sep, october oct, november nov, december dec",
    "French": "janvier janv jan, février févr fév, mars, avril avr, mai, juin, juillet juil, août, "
    "septembre sept, octobre oct, novembre nov, décembre déc",
    "German": "januar jan jänner jän, februar feb feber, märz maerz mär mrz, april apr, mai, "
    "juni jun, juli jul, august aug, september sept sep, oktober okt, november nov, dezember dez",
    "Spanish": "enero ene, febrero feb, marzo mar, abril abr, mayo may, junio jun, julio jul, "
    "agosto ago, septiembre setiembre sept sep, octubre oct, noviembre nov, diciembre dic",
    "Romanian": "ianuarie ian, februarie feb febr, martie mar, aprilie apr, mai, iunie iun, "
    "iulie iul, august aug, septembrie sept, octombrie oct, noiembrie nov noi noiem, decembrie dec",
    "Italian": "gennaio gen genn, febbraio feb febbr, marzo mar, aprile apr, maggio mag magg, "
    "giugno giu, luglio lug, agosto ago, settembre set sett, ottobre ott, novembre nov, "
    "dicembre dic",
    "Portuguese": "janeiro jan, fevereiro fev, março mar, abril abr, maio mai, junho jun, "
    "julho jul, agosto ago, setembro set, outubro out, novembro nov, dezembro dez",
    "Dutch": "januari jan, februari feb, maart mrt, april apr, mei, juni jun, juli jul, "
    "augustus aug, september sept sep, oktober okt, november nov, december dec",
    "Polish": "styczeń stycznia sty, luty lutego lut, marzec marca mar, kwiecień kwietnia kwi, "
    "maj maja, czerwiec czerwca cze, lipiec lipca lip, sierpień sierpnia sie, "
    "wrzesień września wrz, październik października paź, listopad listopada lis, "
    "grudzień grudnia gru",
    "Czech": "leden ledna led, únor února úno, březen března bře, duben dubna dub, "
    "květen května kvě, červen června čvn, červenec července čvc, srpen srpna srp, "
    "září zář, říjen října říj, listopad listopadu lis, prosinec prosince pro",
    "Russian": "январь января янв, февраль февраля февр фев, март марта мар, апрель апреля апр, "
    "май мая, июнь июня июн, июль июля июл, август августа авг, сентябрь сентября сент сен, "
    "октябрь октября окт, ноябрь ноября нояб ноя, декабрь декабря дек",
    "Ukrainian": "січень січня січ, лютий лютого лют, березень березня бер, "
    "квітень квітня квіт кві, травень травня трав тра, червень червня черв чер, "
    "липень липня лип, серпень серпня серп сер, вересень вересня вер, жовтень жовтня жовт жов, "
    "листопад листопада лист лис, грудень грудня груд гру",
    "Turkish": "ocak oca, şubat şub, mart mar, nisan nis, mayıs may, haziran haz, temmuz tem, "
    "ağustos ağu, eylül eyl, ekim eki, kasım kas, aralık ara",
    "Swedish": "januari jan, februari feb, mars, april apr, maj, juni jun, juli jul, augusti aug, "
    "september sept sep, oktober okt, november nov, december dec",
    "Danish": "januar jan, februar feb, marts, april apr, maj, juni jun, juli jul, august aug, "
    "september sept sep, oktober okt, november nov, december dec",
    "Norwegian": "januar jan, februar feb, mars, april apr, mai, juni jun, juli jul, august aug, "
    "september sept sep, oktober okt, november nov, desember des",
    "Indonesian": "januari jan, februari feb, maret mar, april apr, mei, juni jun, juli jul, "
    "agustus agu, september sep, oktober okt, november nov, desember des",
}
"""Names of the twelve months; accents may be left out. The first five languages are tested in full
with headings and all; of the others months, "until now" and connectors are read."""

_AMBIGUOUS = (
    "set out gen mag ott lug marca maja lip lis sie led úno uno dub pro srp mart oca ara tem haz "
    "kas eki agu des лист сер вер тра"
)
AMBIGUOUS = frozenset(_AMBIGUOUS.split())
"""Ordinary words elsewhere (`Set 2015 targets`): months only where their language is seen."""

SEASONS = {
    3: "spring printemps primavera frühling frühjahr primăvara primăvară",
    6: "summer été verano sommer vara vară estate verão zomer",
    9: "fall autumn automne otoño herbst toamna toamnă autunno outono herfst",
    12: "winter hiver invierno iarna iarnă inverno",
}
"""The month in which a season begins; it has three. So do the quarters Q1 to Q4."""

PRESENT = {
    "English": "present presently current currently now today ongoing continuing date"
    "|to-date|till-date|todate|still employed|still working|present day",
    "French": "présent présentement actuel actuelle actuellement maintenant jour"
    "|aujourd'hui|aujourd’hui|aujourd hui|en cours|ce jour|l'heure actuelle|nos jours",
    "German": "heute jetzt gegenwärtig gegenwart laufend aktuell andauernd fortlaufend dato "
    "derzeit|auf weiteres",
    "Spanish": "actual actualidad actualmente presente hoy ahora fecha vigente|en curso|hoy en día",
    "Romanian": "prezent astăzi azi acum curent actual actualitate|în curs|în desfășurare",
    "Italian": "oggi attuale attualmente presente adesso|in corso",
    "Portuguese": "atual atualmente atualidade presente hoje agora"
    "|em curso|o momento|à data|a data",
    "Dutch": "heden nu huidig vandaag tegenwoordig",
    "Polish": "obecnie dziś dzisiaj teraz nadal|chwili obecnej|dnia dzisiejszego",
    "Czech": "současnost současnosti dosud nyní dnes",
    "Russian": "сейчас сегодня|настоящее время|настоящего времени|наст. время|н.в|н. в",
    "Ukrainian": "зараз сьогодні|теперішній час|цей час",
    "Turkish": "halen günümüz bugün devam|devam ediyor|şu an",
    "Swedish": "nu pågående nuvarande idag|i dag",
    "Danish": "nu nuværende|i dag|dags dato",
    "Norwegian": "nå pågående nåværende|i dag",
    "Indonesian": "sekarang|saat ini",
    "Chinese": "至今 迄今 现在 現在 目前",
    "Japanese": "現在 在職中 現職",
    "Korean": "현재 지금 재직중|재직 중",
}
"""Words and, after a bar, phrases for an end that is still open; they count after a date only."""

_TOO_COMMON = "date fecha dato jour nu nå curent devam actual vigente"
NEEDS_A_CONNECTOR = frozenset(_TOO_COMMON.split())
"""`2014 present` is read without a sign between them; these words are too common for that."""

UNTIL = (
    r"to\s+till|up\s?to(?:\s+and\s+including)?|up\s?until|till?|until|untill|to|thru|through|"
    r"bis\s+(?:zu[mr]?|einschlie(?:ß|ss)lich)|bis|au|à|jusqu['’](?:à|a|en|au)|al?|hasta|"
    r"p[âaăî]n[ăaâ]\s+(?:la|în|in)|p[âaă]n[ăa]|la|fino\s+(?:al?|ad)|ad|at[éeè]|"
    r"tot\s+en\s+met|tot|t/m|do|až|po|по|до|hingga|sampai|s/?d|til"
)
"""Words between the start and the end of a time."""
FILLER = (
    r"till|to|the|la|el|le|l['’]|ce|en|în|in|o|à|a|ao|den|dem|zum|der|het|end\s+of|fin\s+de|ende|"
    r"mid|early|late|end|beginning\s+of|start\s+of|circa|ca?\.|approx\.?|fy|ay|xx[/.-]|\("
)
"""Words that may follow: `until the end of May`, `hasta la fecha`, `- late 2018`, `- XX/2018`."""
AND = r"and|et|und|y|e|și|şi|si|en|i|и|та|och|og|ve|dan|&"
BETWEEN = (
    r"between|entre|zwischen|între|intre|tra|fra|tussen|między|miedzy|между|між|"
    r"mellan|mellem|mellom|mezi|antara"
)
SINCE = (
    r"since|seit|depuis|desde|à partir de|a partir de|vanaf|sinds|sedan|siden|sejak|"
    r"\bdin|\bab|\bod|\bdal|\bс|\bз"
)

NUMERALS = "〇"
"""The name of a year such as 二〇一六年."""
NOT_READ = {
    "Greek": "ιανουάριος ιανουαρίου φεβρουάριος φεβρουαρίου μάρτιος μαρτίου απρίλιος απριλίου "
    "μάιος μαΐου ιούνιος ιουνίου ιούλιος ιουλίου αύγουστος αυγούστου σεπτέμβριος σεπτεμβρίου "
    "οκτώβριος οκτωβρίου νοέμβριος νοεμβρίου δεκέμβριος δεκεμβρίου ιαν "
    "φεβ μαρ απρ μαϊ ιουν ιουλ αυγ σεπ οκτ",
    "Finnish": "tammikuu tammikuuta helmikuu helmikuuta maaliskuu maaliskuuta huhtikuu huhtikuuta "
    "toukokuu toukokuuta kesäkuu kesäkuuta heinäkuu heinäkuuta elokuu elokuuta syyskuu syyskuuta "
    "lokakuu lokakuuta marraskuu marraskuuta joulukuu joulukuuta",
    "Hungarian": "január február március április május június július augusztus szeptember október",
    "Croatian": "siječanj siječnja veljača veljače ožujak ožujka travanj travnja svibanj svibnja "
    "lipanj lipnja srpanj srpnja kolovoz kolovoza rujan rujna studeni studenoga prosinac prosinca",
    "Arabic": "يناير فبراير مارس أبريل ابريل إبريل مايو يونيو يوليو أغسطس اغسطس سبتمبر أكتوبر "
    "اكتوبر نوفمبر ديسمبر كانون شباط آذار نيسان أيار حزيران تموز آب أيلول تشرين",
    "Persian": "فروردین اردیبهشت خرداد تیر مرداد شهریور مهر آبان آذر دی بهمن اسفند",
    "Hebrew": "ינואר פברואר מרץ אפריל מאי יוני יולי אוגוסט ספטמבר אוקטובר נובמבר דצמבר",
    "Hindi": "जनवरी फरवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर सितम्बर "
    "अक्टूबर नवंबर नवम्बर दिसंबर दिसम्बर",
    "Thai": "มกราคม กุมภาพันธ์ มีนาคม เมษายน พฤษภาคม มิถุนายน กรกฎาคม สิงหาคม กันยายน ตุลาคม "
    "พฤศจิกายน ธันวาคม พ.ศ.",
    "Japanese era years": "令和 平成 昭和 大正",
    "years of the Republic of China": "民國 民国",
    "Chinese numeral years": NUMERALS,
}
"""Months of languages whose dates are not read: such a date is reported with the language."""


def plain(word: str) -> str:
    """A word in lower case without accents.

    >>> plain("Février"), plain("Kasım")
    ('fevrier', 'kasim')
    """
    parts = unicodedata.normalize("NFD", word.lower().replace("ı", "i").replace("ł", "l"))
    kept = "".join(c for c in parts if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", kept)


def _both(words: Iterable[str]) -> set[str]:
    """With accents and without."""
    given = set(words)
    return given | {plain(word) for word in given}


def _months() -> tuple[dict[str, int], dict[str, set[str]]]:
    """Name → number; and name → languages."""
    numbers: dict[str, int] = {}
    languages: dict[str, set[str]] = {}
    for language, line in MONTHS.items():
        for number, names in enumerate(line.split(","), 1):
            for name in _both(names.split()):
                languages.setdefault(name, set()).add(language)
                numbers.setdefault(name, number)
    return numbers, languages


MONTH, _LANGUAGES = _months()
"""Name of a month → 1 to 12."""
SEASON = {
    form: start
    for start, line in SEASONS.items()
    for name in _both(line.split())
    for form in (name, f"{name}s")
} | {f"q{n}": 3 * n - 2 for n in range(1, 5)}
"""Name of a season, also in the plural, or of a quarter → its first month."""
PLURAL = frozenset(
    f"{name}s" for line in SEASONS.values() for name in _both(line.split()) if name[-1] != "s"
)
_LINES = [line.split("|") for line in PRESENT.values()]
OPEN = _both(word for line in _LINES for word in line[0].split())
"""Words for an end that is still open."""
PHRASES: dict[str, list[str]] = {}
"""Last word of a phrase for an open end → the phrases."""
for _line in _LINES:
    for _phrase in sorted(_both(_line[1:])):
        PHRASES.setdefault(re.split(r"[ .'’-]", _phrase)[-1], []).append(_phrase)
FOREIGN = {name: language for language, line in NOT_READ.items() for name in _both(line.split())}
FOREIGN = {name: language for name, language in FOREIGN.items() if name not in MONTH}
"""Name of a month of a language that is not read → the language."""


def _marks() -> dict[str, set[str]]:
    """Word → the one or two languages that it shows: a name or "until now" of no other."""
    of = {word: set(own) for word, own in _LANGUAGES.items() if word not in AMBIGUOUS}
    for language, line in zip(PRESENT, _LINES, strict=True):
        for word in _both(line[0].split()):
            of.setdefault(word, set()).add(language)
    return {word: own for word, own in of.items() if len(own) <= 2 < len(word)}


MARKS = _marks()
"""Word → the languages that it shows."""


def belongs(word: str, seen: set[str]) -> bool:
    """Whether an ambiguous name is a month in a text in which the languages `seen` are seen."""
    return bool(_LANGUAGES.get(word, set()) & seen)
