"""A short CV in many languages, written for these tests."""

CVS = {
    "English": (
        "Senior welder with twelve years of experience in shipbuilding. Led a team of six, "
        "planned the maintenance of cranes and reduced the number of faulty seams by a third. "
        "Trained apprentices, wrote safety instructions and worked closely with the purchasing "
        "department."
    ),
    "French": (
        "Comptable expérimentée, spécialisée dans la clôture mensuelle et les déclarations "
        "fiscales. A dirigé une équipe de quatre personnes, préparé les budgets annuels et "
        "amélioré la qualité des données. Très à l'aise avec les logiciels de gestion, "
        "rigoureuse et diplômée."
    ),
    "German": (
        "Erfahrener Schweißer mit zwölf Jahren Berufserfahrung im Schiffbau. Führte ein Team "
        "von sechs Personen, plante die Wartung der Kräne und überprüfte die Qualität der "
        "Nähte. Bildete Lehrlinge aus, schrieb Sicherheitsanweisungen und verhandelte mit "
        "Lieferanten."
    ),
    "Spanish": (
        "Enfermera con diez años de experiencia en urgencias. Coordinó un equipo de ocho "
        "personas, organizó los turnos y mejoró la atención a los pacientes. Formación "
        "continua en cuidados intensivos, comunicación con las familias y gestión de la "
        "documentación clínica."
    ),
    "Romanian": (
        "Inginer constructor cu opt ani de experiență în proiectarea podurilor și a "
        "clădirilor. A condus o echipă de cinci persoane, a pregătit documentația tehnică și a "
        "verificat calitatea lucrărilor. Cunoștințe foarte bune de programare, franceză și "
        "engleză, permis de conducere."
    ),
    "Italian": (
        "Cuoca con quindici anni di esperienza nella ristorazione. Ha gestito una squadra di "
        "sette persone, curato gli acquisti e ridotto gli sprechi. Attenta alla qualità, "
        "capacità di lavorare sotto pressione, ottima conoscenza delle norme igieniche."
    ),
    "Polish": (
        "Księgowa z dziesięcioletnim doświadczeniem w sporządzaniu sprawozdań finansowych. "
        "Kierowała zespołem czterech osób, przygotowywała budżety i rozliczenia podatkowe. "
        "Bardzo dobra znajomość języka niemieckiego, dokładność oraz umiejętność pracy pod "
        "presją czasu."
    ),
    "Turkish": (
        "On yıllık deneyime sahip muhasebeci. Dört kişilik bir ekibi yönetti, yıllık bütçeleri "
        "hazırladı ve vergi beyannamelerini düzenledi. İyi derecede İngilizce bilgisi, güçlü "
        "iletişim becerileri ve yoğun çalışma temposuna uyum sağlama yeteneği."
    ),
    "Vietnamese": (
        "Kế toán viên có mười năm kinh nghiệm lập báo cáo tài chính. Quản lý nhóm bốn người, "
        "chuẩn bị ngân sách hàng năm và kê khai thuế. Thành thạo tiếng Anh, cẩn thận và có khả "
        "năng làm việc dưới áp lực cao."
    ),
    "Russian": (
        "Опытный сварщик с двенадцатилетним стажем работы в судостроении. Руководил бригадой "
        "из шести человек, планировал ремонт кранов и проверял качество швов. Обучал учеников, "
        "писал инструкции по безопасности и вёл переговоры с поставщиками."
    ),
    "Greek": (
        "Έμπειρη λογίστρια με δεκαετή πείρα στη σύνταξη οικονομικών καταστάσεων. Διηύθυνε "
        "ομάδα τεσσάρων ατόμων, ετοίμαζε ετήσιους προϋπολογισμούς και φορολογικές δηλώσεις. "
        "Άριστη γνώση αγγλικών και ικανότητα εργασίας υπό πίεση."
    ),
    "Arabic": (
        "محاسب ذو خبرة عشر سنوات في إعداد القوائم المالية. أدار فريقا من أربعة أشخاص وأعد "
        "الميزانيات السنوية والإقرارات الضريبية. إجادة اللغة الإنجليزية والقدرة على العمل تحت "
        "الضغط والتواصل مع العملاء والموردين في مختلف المشاريع."
    ),
    "Hebrew": (
        "רתך מנוסה עם שתים עשרה שנות ניסיון בבניית אוניות. ניהל צוות של שישה עובדים, תכנן את "
        "תחזוקת המנופים ובדק את איכות התפרים. הדריך חניכים, כתב הוראות בטיחות וניהל משא ומתן "
        "עם ספקים."
    ),
    "Hindi": (
        "वित्तीय विवरण तैयार करने में दस वर्षों का अनुभव रखने वाला लेखाकार। चार लोगों की टीम "
        "का नेतृत्व किया, वार्षिक बजट और कर विवरणियाँ तैयार कीं। अंग्रेज़ी का अच्छा ज्ञान और "
        "दबाव में काम करने की क्षमता।"
    ),
    "Chinese": (
        "资深焊工,拥有十二年造船行业经验。带领六人团队,负责起重机的维护计划,并将焊缝缺陷减少了"
        "三分之一。培训学徒,编写安全规程,与采购部门密切合作。熟悉焊接工艺评定和无损检测,持有特"
        "种作业操作证。"
    ),
    "Japanese": (
        "造船業で十二年の経験を持つ溶接工です。六人のチームを率い、クレーンの保守を計画し、不良"
        "を三分の一に減らしました。見習いの教育を担当し、安全マニュアルを作成し、購買部門と協力"
        "してきました。"
    ),
    "Korean": (
        "조선업에서 십이 년의 경력을 가진 용접공입니다. 여섯 명으로 구성된 팀을 이끌고 크레인 "
        "유지 보수를 계획하였으며 불량률을 크게 줄였습니다. 견습생을 교육하고 안전 지침서를 "
        "작성하였습니다."
    ),
    "Thai": (
        "ช่างเชื่อมที่มีประสบการณ์สิบสองปีในอุตสาหกรรมต่อเรือ นำทีมหกคน วางแผนการบำรุงรักษาเครน"
        " และลดจำนวนรอยเชื่อมที่บกพร่อง ฝึกสอนผู้ฝึกงานและเขียนคู่มือความปลอดภัย"
    ),
}
